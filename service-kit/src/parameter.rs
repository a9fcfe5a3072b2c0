//! Which URL parameters may be named in an error message.

pub use crate::config::is_parameter_name as is_name;
