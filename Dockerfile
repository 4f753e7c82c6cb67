# Airflow 2.10.5. The base image installs packages.txt and requirements.txt, then copies the project to
# /usr/local/airflow: the kit itself, which is part of the project, can only be installed after that.
FROM quay.io/astronomer/astro-runtime:12.7.1

# As root, for the image's own site-packages: `astro` may not write there, and what it installs under its home
# is gone where the container runs as another user. The build needs no download: its parts are in requirements.txt.
USER root
RUN pip install --no-cache-dir --no-deps --no-build-isolation /usr/local/airflow
USER astro
