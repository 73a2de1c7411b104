#!/bin/sh
# Builds dist/ again: exact versions from package-lock.json, one script and one style sheet. Needs node 20 or later and npm.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/package.json" "$here/package-lock.json" "$here/main.jsx" "$here/page.css" "$work/"
cd "$work"
npm ci --no-audit --no-fund --ignore-scripts
node_modules/.bin/esbuild main.jsx --bundle --minify --format=iife --target=es2020 --jsx=automatic \
  --define:process.env.NODE_ENV='"production"' --legal-comments=none --metafile="$work/meta.json" --loader:.woff2=dataurl \
  --outfile="$work/out/graphiql.js"
node "$here/licences.mjs" "$work/meta.json" > "$work/out/LICENCES.txt"
rm -rf "$here/dist"
mkdir "$here/dist"
cp "$work"/out/* "$here/dist/"
ls -l "$here/dist"
