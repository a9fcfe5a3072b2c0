# shellcheck shell=bash
# shellcheck disable=SC2154
# Sourced by smoke.sh when its first order is published. Checks that the console tells how to log in,
# shows nothing without a password, and lets its users see and do what their rights are.

printed=$(docker logs "$(container console)" 2>/dev/null)
typed=$(sed -n 's/^  docker compose exec console //p' <<<"$printed")
[ "$typed" ] || fail "the console does not print how to log in: $printed"
# shellcheck disable=SC2086
users=$(compose exec -T console $typed)

# Prints the status of an answer and keeps its body. Usage: asked NAME PATH [CURL_OPTION...], with
# '' for nobody.
asked() {
    local secret login=()
    secret=$(sed -n "s/^$1:[^:]*://p" <<<"$users")
    [ -z "$1" ] || login=(--user "$1:$secret")
    curl -sS --max-time 20 --output "$log" --write-out '%{http_code}' "${login[@]}" "http://$(address console 9010)$2" "${@:3}"
}
published='/events?state=published'
aggregate=$(sql 'SELECT aggregate_id FROM outbox')
status=$(asked '' "$published")
[ "$status" = 401 ] || fail "without a password the console answers $status"
grep --quiet "$aggregate" "$log" && fail "without a password the console shows an order"
for user in viewer operator admin; do
    status=$(asked "$user" "$published")
    [ "$status" = 200 ] || fail "the console answers $status to $user: $(cat "$log")"
    grep --quiet "$aggregate" "$log" || fail "the console does not show the order to $user"
done
# The desk has a login of its own.
status=$(asked viewer /api/dead-letters)
[ "$status" = 200 ] || fail "the console answers $status on the page of dead letters: $(cat "$log")"

# A login that reads which events the consumer has counted, and nothing else.
event_id=$(sql 'SELECT event_id FROM outbox')
status=$(asked viewer "/api/events/$event_id")
[ "$status" = 200 ] || fail "the console answers $status on the page of an event: $(cat "$log")"
grep --quiet --extended-regexp '"name": ?"customer-service"[^}]*"state": ?"applied"' "$log" || fail "the page does not say that the consumer has counted the event: $(cat "$log")"

# A type that no event has: nothing is held up.
pause() { asked "$1" /operations --data "action=pause&operation=$(cat /proc/sys/kernel/random/uuid)&type=smoke.none&reason=smoke"; }
paused="SELECT string_agg(actor, ',') FROM outbox_pauses"
status=$(pause viewer)
[ "$status" = 403 ] || fail "the console answers $status to a viewer's change"
[ -z "$(sql "$paused")" ] || fail "a viewer has paused events"
status=$(pause operator)
[ "$status" = 303 ] || fail "the console answers $status to an operator's change: $(cat "$log")"
wait_until 30 "the operator's pause" answers operator "$paused"
sql 'DELETE FROM outbox_pauses' >"$log"

compose exec -T console sh -c 'touch /tmp/written 2>/dev/null' && fail "the console can write to its image"
step "the console shows the order to who logs in, and changes nothing for a viewer"
