# One image for the web processes, the workers and Flower: docker-compose.yml says which one runs.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 BIND_ADDRESS=0.0.0.0
WORKDIR /srv/headway

COPY . .
RUN pip install -c constraints.txt -e ".[demo]" \
    && useradd --system --no-create-home headway \
    && install -d -o headway /srv/data

USER headway
EXPOSE 8000 5555
CMD ["sh", "-c", "exec gunicorn -k headway.gunicorn.StreamWorker -b ${BIND_ADDRESS:-127.0.0.1}:${PORT:-8000} --no-control-socket app.wsgi:app"]
