//! What only programs use.
//!
//! | file | what it does |
//! |---|---|
//! | `body` | a change as JSON: the fields of a form |

pub(super) mod body;
