#!/bin/sh
# Installs the Debian packages named as arguments without starting or enabling a service and
# without creating PostgreSQL's default cluster. Needs root. Two files are put in place for the
# time of the installation and taken away afterwards; an administrator's policy-rc.d, which may
# allow starting, lies aside meanwhile.
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
    # Not over a file that someone has put there meanwhile.
    if exists "$aside" && ! exists "$policy"; then mv "$aside" "$policy"; fi
    rm -f "$clusters"
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

# Exit status 101 from policy-rc.d: starting services is forbidden.
# One of ours is left from an installation that was killed; what it put aside comes back today.
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
# It would restart services that have nothing to do with this.
export NEEDRESTART_SUSPEND=1
apt-get -q -o DPkg::Lock::Timeout=600 update
apt-get -q -y -o DPkg::Lock::Timeout=600 --no-install-recommends install "$@"

# What this installation brought stays off at the next boot too; what was there keeps its state.
for unit in $units; do
    case " $known_before " in
    *" $unit "*) continue ;;
    esac
    if [ -e "/lib/systemd/system/$unit" ] || [ -e "/usr/lib/systemd/system/$unit" ]; then
        systemctl --quiet disable "$unit" 2>/dev/null || true
        update-rc.d "${unit%.*}" disable >/dev/null 2>&1 || true
    fi
done
