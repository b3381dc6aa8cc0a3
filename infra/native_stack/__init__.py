"""The stack without Docker: the services of ``docker-compose.yml`` as processes of this machine."""
