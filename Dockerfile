# Both programs in one image of static binaries, nothing else: no shell, no package manager, no root.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/ ./cmd/api ./cmd/emailworker
# Volumes take over the owner of the folder that they are mounted on.
RUN mkdir -p /out/data/images /out/data/mail

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/api /out/emailworker /
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["/api", "healthcheck"]
ENTRYPOINT ["/api"]
