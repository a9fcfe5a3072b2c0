#!/bin/sh
# Installs the Debian packages given as arguments without starting or enabling a service, and
# without creating PostgreSQL's default cluster. Needs root. Two files exist only during the
# installation; an administrator's policy-rc.d, which may allow starting services, is moved aside
# meanwhile.
set -eu

note='Put here for one installation by an outbox stack; safe to delete.'
policy=/usr/sbin/policy-rc.d
aside=$policy.outbox-stack-aside
clusters=/etc/postgresql-common/createcluster.d/zz-outbox-stack.conf
units='rabbitmq-server.service postgresql.service pgbouncer.service epmd.service epmd.socket'

exists() { [ -e "$1" ] || [ -L "$1" ]; }
is_ours() { grep -qsF "$note" "$1"; }

clean_up() {
    if is_ours "$policy"; then rm -f "$policy"; fi
    # A file that somebody else has created meanwhile is not overwritten.
    if exists "$aside" && ! exists "$policy"; then mv "$aside" "$policy"; fi
    rm -f "$clusters"
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

# Exit status 101 from policy-rc.d forbids starting services. If the file is ours, it was left by an
# installation that was killed, and the administrator's is already moved aside.
if exists "$policy" && ! is_ours "$policy"; then mv -f "$policy" "$aside"; fi
printf '#!/bin/sh\n# %s\nexit 101\n' "$note" >"$policy"
chmod 755 "$policy"
mkdir -p "${clusters%/*}"
printf '# %s\ncreate_main_cluster = false\n' "$note" >"$clusters"

known_before=''
for unit in $units; do
    if [ -e "/lib/systemd/system/$unit" ] || [ -e "/usr/lib/systemd/system/$unit" ]; then
        known_before="$known_before $unit"
    fi
done

export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1
# needrestart would restart unrelated services.
export NEEDRESTART_SUSPEND=1
apt-get -q -o DPkg::Lock::Timeout=600 update
apt-get -q -y -o DPkg::Lock::Timeout=600 --no-install-recommends install "$@"

# New units are disabled, so that they do not start at the next boot either; units that existed
# before keep their state.
for unit in $units; do
    case " $known_before " in
    *" $unit "*) continue ;;
    esac
    if [ -e "/lib/systemd/system/$unit" ] || [ -e "/usr/lib/systemd/system/$unit" ]; then
        systemctl --quiet disable "$unit" 2>/dev/null || true
        update-rc.d "${unit%.*}" disable >/dev/null 2>&1 || true
    fi
done
