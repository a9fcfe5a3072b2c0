//! The consumer alone, with a publisher that shares no code with the relay.

mod batches;
mod broker_policies;
mod check;
mod counts;
mod dead_letters;
mod full_queues;
mod hostile_messages;
mod lock_waits;
mod memory;
mod outages;
mod passive_declare;
mod poison_messages;
mod process;
mod rebuild_queue;
mod rebuild_queue_concurrency;
mod retention;
mod retries;
mod retry_ttl;
mod topology;
