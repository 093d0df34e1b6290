#!/bin/sh
# Builds the addon and the launcher into prebuilds/<platform>-<arch>/. Safe to run from several processes at once.
set -eu
cd "$(dirname "$0")"
mkdir -p build
exec 9>build/.lock
flock 9
target=prebuilds/$(node -p 'process.platform + "-" + process.arch')
mkdir -p "$target"
# node-gyp would download headers; the Node that runs it brings its own.
headers=$(node -p 'require("node:path").resolve(process.execPath, "../..")')
node node_modules/node-gyp/bin/node-gyp.js configure build --release --silent --nodedir="$headers"
# Renamed into place: a process that has the old one loaded keeps its own inode.
cp build/Release/core.node "$target/.node.napi.node.new"
mv "$target/.node.napi.node.new" "$target/node.napi.node"
make -s -C launcher OUT="../$target"
