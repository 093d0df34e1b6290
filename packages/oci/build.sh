#!/bin/sh
# Builds the front end into prebuilds/<platform>-<arch>/, and notes which Node it was built with.
set -eu
cd "$(dirname "$0")"
platform=$(node -p 'process.platform + "-" + process.arch')
mkdir -p "prebuilds/$platform"
make -s -C native OUT="../prebuilds/$platform" VERSION="$(node -p 'require("./package.json").version')" \
  COMMIT="$(git rev-parse --short=12 HEAD 2>/dev/null || true)"
ln -sfn "$(node -p process.execPath)" prebuilds/node
# For tools/holdfast-oci, whatever the architecture.
ln -sfn "$platform/holdfast-oci" prebuilds/holdfast-oci
