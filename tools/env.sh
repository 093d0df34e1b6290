# Sourced by the scripts in tools/: the repository's root, and a PATH on which the pinned Node and pnpm come first.
root=$(cd "$(dirname "$0")/.." && pwd)
export PATH="$root/.toolchain/node_modules/.bin:$PATH"
# These change how every Node starts; nothing of ours is to depend on them, or be slowed by them. Only npm and pnpm, in
# tools/setup, may need the certificates to reach their registry.
export HOLDFAST_REGISTRY_CERTIFICATES=${HOLDFAST_REGISTRY_CERTIFICATES-${NODE_EXTRA_CA_CERTS-}}
unset NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS
export TURBO_TELEMETRY_DISABLED=1
