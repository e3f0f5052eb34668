"""What a WSGI server loads: `gunicorn -k gevent app.wsgi:app`."""

from app import create_app

app = create_app()
