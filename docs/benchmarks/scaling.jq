# The two tables of docs/scaling.md, from a run of the benchmark: jq -rf docs/benchmarks/scaling.jq docs/benchmarks/latest.json
# Bytes on disk are not the benchmark's: see there.
def disk: {order: 296, published: 523, counted: 106};
def thousands: tostring | if length > 3 then (.[:-3] | thousands) + "," + .[-3:] else . end;
def figure: if . >= 10 then round | thousands elif . >= 1 then . * 10 | round / 10 else . * 100 | round / 100 end;
def measured($what): first(.rows[] | select(.what | startswith($what)) | .measured.median);
def limits($what): [.rows[].limit | values | select(.what | startswith($what)) | .measured.median] | max;
def row: "| " + (map(tostring) | join(" | ")) + " |";

(.cost_of_an_order | map(select(.load | contains("sustained"))) | last) as $order
| $order.cpu_us as $cpu
| measured("accepted by 64 clients") as $A
| measured("orders sustained") as $S
| measured("events drained") as $R
| measured("events of 1,000 customers counted") as $C
| limits("bare publisher") as $P
| limits("bare consumer") as $T
| [1000, 100000, 1000000] as $rates

| (["", "what", "figure", "where it stands"], ["---", "---", "---", "---"],
   ["S", "orders a second that the whole pipeline sustained", ($S | figure), "*orders sustained*"],
   ["A", "orders a second that one order service accepted, with one PostgreSQL", ($A | figure), "*accepted by 64 clients*"],
   ["R", "events a second that one relay drained", ($R | figure), "*events drained*"],
   ["C", "events a second that one consumer counted", ($C | figure), "*events of 1,000 customers counted*"],
   ["P", "messages a second that one quorum queue took from a bare publisher", ($P | figure), "the fastest *bare publisher*"],
   ["T", "messages a second that a bare consumer took from one queue", ($T | figure), "the fastest *bare consumer*"],
   ["U", "µs of CPU an order, of all processes, at rate S", ($order.cpu_us_of_the_pipeline | figure), "*Cost of an order*, sustained"],
   ["", "of these: order service, relay, consumer", ([$cpu["order-service", "outbox-relay", "customer-service consumer"] | figure] | join(", ")), "the same"],
   ["", "PostgreSQL, RabbitMQ", ([$cpu["PostgreSQL", "RabbitMQ"] | figure] | join(", ")), "the same"],
   ["W", "bytes of write-ahead log an order, both databases", ($order.wal_bytes | figure), "the same"],
   ["D", "bytes on disk: an order, a published event, a counted event", ([disk[] | figure] | join(", ")), "`pg_total_relation_size`, below"]
   | row),
  "",
  (["orders a second", ($rates[] | thousands), "how"], ["---", "---:", "---:", "---:", "---"],
   ["cores at full load, all processes", ($rates[] | . * $order.cpu_us_of_the_pipeline / 1e6 | figure), "rate × U"],
   (["order-service", "order services"], ["outbox-relay", "relays"], ["customer-service consumer", "consumers"], ["PostgreSQL", "PostgreSQL"],
    ["RabbitMQ", "RabbitMQ, one member of each queue"] | . as [$process, $name] | ["· " + $name, ($rates[] | . * $cpu[$process] / 1e6 | figure), "its part of U"]),
   ["· RabbitMQ, three members, at the most", ($rates[] | . * 3 * $cpu["RabbitMQ"] / 1e6 | figure), "three times that"],
   ["machines like the one measured", ($rates[] | . / $S | ceil | thousands), "rate ÷ S"],
   ["order databases", ($rates[] | . / $A | ceil | thousands), "rate ÷ A"],
   ["queues, each with a leader of its own", ($rates[] | . / $P | ceil | thousands), "rate ÷ P"],
   ["consumers", ($rates[] | . / $C | ceil | thousands), "rate ÷ C"],
   ["write-ahead log, MB a second", ($rates[] | . * $order.wal_bytes / 1e6 | figure), "rate × W"],
   ["orders a day, millions", ($rates[] | . * 86400 / 1e6 | figure), "rate × 86,400"],
   ["· their rows, GB", ($rates[] | . * 86400 * disk.order / 1e9 | figure), "× D"],
   ["published events in an hour, GB", ($rates[] | . * 3600 * disk.published / 1e9 | figure), "`OUTBOX_RETENTION=1h`"],
   ["counted events in a week, GB", ($rates[] | . * 86400 * 7 * disk.counted / 1e9 | figure), "`PROCESSED_EVENTS_RETENTION=7d`"]
   | row)
