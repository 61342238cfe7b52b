# s3kit in a container:
#
#     docker build -t s3kit . && docker run -p 9000:9000 -v s3kit:/data s3kit
#
# The first start prints the first key pair; it is in the volume too, in /data/credentials.
# Settings are S3KIT_* variables, or options after the image's name: docker run s3kit serve --help

FROM python:3.13-slim AS build
ARG EXTRAS=server,postgresql,mariadb,s3,metrics,xxhash
WORKDIR /src
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY s3kit s3kit
COPY contrib contrib
RUN python -m venv /opt/s3kit \
    && /opt/s3kit/bin/pip install --no-cache-dir --disable-pip-version-check ".[$EXTRAS]"

FROM python:3.13-slim
RUN useradd --system --user-group --uid 10001 --home-dir /data --shell /usr/sbin/nologin s3kit \
    && install --directory --owner=s3kit --group=s3kit --mode=0700 /data
COPY --from=build /opt/s3kit /opt/s3kit
COPY deploy/healthcheck.py /opt/s3kit/bin/healthcheck.py
ENV PATH="/opt/s3kit/bin:$PATH" \
    PYTHONUNBUFFERED=1
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 9000
# Running requests end within 30 seconds of it: docker stop --time 35
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "/opt/s3kit/bin/healthcheck.py"]
ENTRYPOINT ["s3kit"]
CMD ["serve", "--data", "/data", "--host", "0.0.0.0"]
