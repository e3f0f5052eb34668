import headway.flower

headway.flower.install()
