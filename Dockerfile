# Two images of one build.
#
#   docker build --target runtime -t keel .        etcd alone, for production
#   docker build --target dev     -t keel:dev .    etcd, etcdctl, etcdutl, a shell, a package manager
#
# The base images are arguments, so that a house with a registry of its own names its own:
#   BUILD_BASE  has cargo, rustc, a C compiler and CA certificates
#   DEV_BASE    has a shell, a package manager, and a C library no older than BUILD_BASE's
# The runtime image has no base: what etcd needs is copied into it, file by file.
ARG BUILD_BASE=rust:1.95-bookworm
ARG DEV_BASE=debian:bookworm

FROM ${BUILD_BASE} AS build
WORKDIR /src
COPY . .
# Equal sources make equal binaries: the paths in them are this stage's, whoever builds, and the C
# compiler's clock stands still (the allocator keeps the time at which it was compiled).
ENV CARGO_INCREMENTAL=0 SOURCE_DATE_EPOCH=0
RUN set -e; \
    cargo build --release --locked -p keel-cli --bin etcd --bin etcdctl --bin etcdutl \
      --bin keel-sbom; \
    mkdir -p /out/bin /out/share; \
    for name in etcd etcdctl etcdutl; do strip -o /out/bin/$name target/release/$name; done; \
    cargo metadata --locked --format-version 1 \
      | target/release/keel-sbom keel-cli > /out/share/etcd.cdx.json
# The runtime image's root: etcd, the loader and libraries that it names, certificates, the users,
# a place for the data and one for what is temporary.
RUN set -e; root=/out/root; \
    mkdir -p $root/usr/local/bin $root/usr/local/share $root/etc/ssl/certs $root/tmp /out/data; \
    chmod 1777 $root/tmp; chmod 0700 /out/data; \
    cp /out/bin/etcd $root/usr/local/bin/; cp /out/share/* $root/usr/local/share/; \
    ldd /out/bin/etcd | grep -o '/[^ ]*' | while read -r lib; do \
      mkdir -p "$root$(dirname "$lib")"; cp -L "$lib" "$root$lib"; \
    done; \
    cp -L /etc/ssl/certs/ca-certificates.crt $root/etc/ssl/certs/; \
    echo 'root:x:0:0:root:/:/sbin/nologin' > $root/etc/passwd; \
    echo 'nonroot:x:65532:65532:nonroot:/etcd-data:/sbin/nologin' >> $root/etc/passwd; \
    echo 'root:x:0:' > $root/etc/group; \
    echo 'nonroot:x:65532:' >> $root/etc/group; \
    echo 'hosts: files dns' > $root/etc/nsswitch.conf

FROM scratch AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="keel" \
      org.opencontainers.image.description="An etcd v3 server with a deterministic core" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/root/ /
# Made ahead: a fresh named volume takes its owner and mode from here.
COPY --from=build --chown=65532:65532 /out/data/ /etcd-data/
USER 65532:65532
# Where `NAME.etcd` comes to lie without --data-dir: the one place that a read-only root leaves.
WORKDIR /etcd-data
EXPOSE 2379 2380
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/etcd", "healthcheck"]
CMD ["/usr/local/bin/etcd"]

FROM ${DEV_BASE} AS dev
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="keel-dev" \
      org.opencontainers.image.description="keel with its tools, a shell and a package manager" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/share/ /usr/local/share/
COPY --from=build /out/bin/ /usr/local/bin/
RUN install -d -m 0700 /etcd-data
WORKDIR /etcd-data
EXPOSE 2379 2380
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/etcd", "healthcheck"]
CMD ["/bin/bash"]
