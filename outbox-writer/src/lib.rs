#![doc = include_str!("../README.md")]

mod error;
mod event;
mod transaction;

pub use error::Error;
pub use event::Event;
pub use transaction::Transaction;
