# The server with one model. The build context is a release folder: docker build -f Dockerfile .releases/<version>
FROM python:3.11-slim-bookworm AS packages
COPY requirements.txt /requirements.txt
# Only locked wheels, byte code that depends on nothing but the sources: the same inputs give the same files. The lock's
# hashes make pip check them all; a release of an older version, which a rollback builds again, has none.
RUN pip install --no-cache-dir --no-deps --only-binary :all: --no-compile --target /packages -r /requirements.txt \
 && rm -rf /packages/bin \
 && find /packages/numpy -type d -name tests -prune -exec rm -rf {} + \
 && PYTHONHASHSEED=0 python -m compileall -q -j 1 --invalidation-mode unchecked-hash /packages \
 && find /packages -exec touch -h -d @0 {} +
# The packages are not touched below: this stage stays in the build cache, 226 MB less for each change of the server.
COPY app /app
RUN PYTHONHASHSEED=0 python -m compileall -q -j 1 --invalidation-mode unchecked-hash /app \
 && find /app -exec touch -h -d @0 {} +

FROM python:3.11-slim-bookworm
# What can install packages goes, from wherever this Python keeps it.
RUN rm -rf /usr/local/lib/python3.11/site-packages/* /usr/local/lib/python3.11/ensurepip /usr/local/bin/pip* \
    /usr/lib/python3/dist-packages/* /usr/lib/python3.11/ensurepip /usr/bin/pip*
COPY --from=packages /packages /packages
COPY --from=packages /app /app
ENV PYTHONPATH=/app:/packages PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", \
  "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/ready'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "mlops_assets.serving", "--model", "/model", "--host", "0.0.0.0", "--port", "8080"]
# The last layer, so that a new model pushes only itself.
COPY model /model
ARG RELEASE_VERSION
ENV RELEASE_VERSION=$RELEASE_VERSION
