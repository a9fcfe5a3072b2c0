# What docs/benchmarks.md shows of a run: jq -rf docs/benchmarks/tables.jq docs/benchmarks/latest.json
def thousands: tostring | if length > 3 then (.[:-3] | thousands) + "," + .[-3:] else . end;
def figure: if . == null then "" elif . >= 1000 then round | thousands else tostring end;
def spread: if .min == .max then .median | figure else "\(.median | figure) (\(.min | figure) to \(.max | figure))" end;
def goal: if . == null then "" elif .at_least then "≥ \(.at_least)" else "≤ \(.at_most)" end;
def reached: if . == null then "" elif . then "reached" else "**not reached**" end;
def row: "| " + join(" | ") + " |";

(.machine
 | "\(.cores) cores of \(.cpu), \(.memory_kb / 1048576 | floor) GB, Linux \(.kernel), PostgreSQL \(.postgresql / " " | first), RabbitMQ \(.rabbitmq), "
   + "\(.rustc / " " | .[:2] | join(" ")), at `\(.commit)`, load \(.load_before) when it began; the hypervisor took \(.stolen_percent * 10 | round / 10) % of the processors' time meanwhile."),
"",
"| | measured | limit | ratio | goal | |", "|---|---|---|---|---|---|",
(reduce .rows[] as $it ({rows: [], part: null};
   if .part == $it.part then . else .rows += ["| **\($it.part)** | | | | | |"] | .part = $it.part end
   | .rows += [[$it.what, "\($it.measured | spread) \($it.unit)",
       ($it.limit | if . then "\(.what): \(.measured | spread)" else "" end), ($it.limit | if . then .ratio | spread else "" end),
       ($it.goal | goal), ($it.reached | reached)] | row]) | .rows[]),
"",
"| load | rows before | order-service | relay | consumer | customer api | PostgreSQL | RabbitMQ | (load generator) | WAL bytes | statements |",
"|---|---|---|---|---|---|---|---|---|---|---|",
(.cost_of_an_order[] | [.load, (.history | figure),
   (.cpu_us["order-service", "outbox-relay", "customer-service consumer", "customer-service api", "PostgreSQL", "RabbitMQ", "load generator"] | figure),
   (.wal_bytes | figure), (.statements | figure)] | row)
