//! The whole pipeline, the programs in `examples/`, and upgrades of what runs.

mod backup_restore;
mod chaos;
mod examples;
mod examples_consumers;
mod examples_consumers_failures;
mod examples_consumers_outages;
mod from_debezium;
mod outbox_writer;
mod partitioned_tables;
mod scaled_out;
mod trace_collector;
mod traces;
mod upgrade_consumers;
mod upgrade_relays;
mod upgrade_schema;
mod upgrade_services;
