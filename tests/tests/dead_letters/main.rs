//! The desk, on a dead-letter queue without a consumer.

mod backlog;
mod collect;
mod crashes;
mod edit;
mod edit_in_editor;
mod forget;
mod looks;
mod memory;
mod pages;
mod process;
mod reading;
mod return_concurrent;
mod return_in_doubt;
mod return_outages;
mod returns;
mod roles;
mod scale;
mod settle;
mod slow_broker;
mod story;
