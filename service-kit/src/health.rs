//! The state of a process's dependencies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

const UP: &str = "dependency_up";
const CONNECTS: &str = "dependency_connects_total";

/// What a missing dependency means for `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// The process can't work without it.
    Required,
    /// The process works without it. Its state is reported, but does not affect readiness.
    Optional,
}

/// One dependency, as `/readyz` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether the process needs it.
    pub need: Need,
    /// Whether it answered when it was last used.
    pub up: bool,
    /// Why it is down: a sentence without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The dependencies of a process. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Health {
    dependencies: Arc<Mutex<BTreeMap<&'static str, Status>>>,
    notes: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Health {
    /// Adds a dependency. It is down until [`Dependency::up`] is called.
    #[must_use]
    pub fn dependency(&self, name: &'static str, need: Need) -> Dependency {
        let status = Status { need, up: false, reason: Some("not connected yet".to_owned()) };
        self.lock().insert(name, status);
        metrics::describe_gauge!(UP, "1 while the dependency answers, else 0");
        metrics::describe_counter!(
            CONNECTS,
            "How often the dependency came to answer, the first time included"
        );
        metrics::gauge!(UP, "dependency" => name).set(0.0);
        metrics::counter!(CONNECTS, "dependency" => name).increment(0);
        Dependency { name, health: self.clone() }
    }

    /// Returns every dependency by name.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<&'static str, Status> {
        self.lock().clone()
    }

    /// Sets a note that `/readyz` shows and that does not affect readiness, such as the role of the
    /// process.
    pub fn note(&self, name: &'static str, text: impl Into<String>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(name, text.into());
    }

    /// Removes a note.
    pub fn forget_note(&self, name: &str) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Returns every note by name.
    #[must_use]
    pub fn notes(&self) -> BTreeMap<&'static str, String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns true if every required dependency is up.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lock().values().all(|status| status.up || status.need == Need::Optional)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Status>> {
        // Each change is a single assignment, so the map is consistent even after a panic
        // elsewhere.
        self.dependencies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dependency whose state its user reports. Only a change is logged.
#[derive(Debug, Clone)]
pub struct Dependency {
    name: &'static str,
    health: Health,
}

impl Dependency {
    /// Reports that it answers.
    pub fn up(&self) {
        if self.change(true, None) {
            tracing::info!(dependency = self.name, "{} is reachable", self.name);
        }
    }

    /// Reports that it does not answer as expected; `reason` is a sentence without secrets.
    pub fn down(&self, reason: impl Into<String>) {
        let reason = reason.into();
        if self.change(false, Some(reason.clone())) {
            tracing::warn!(
                dependency = self.name,
                reason,
                "{} is not reachable: trying again until it is",
                self.name
            );
        }
    }

    /// Stores the state. Returns true if it has changed.
    fn change(&self, up: bool, reason: Option<String>) -> bool {
        let mut dependencies = self.health.lock();
        let Some(status) = dependencies.get_mut(self.name) else {
            return false;
        };
        let news = status.up != up || status.reason != reason;
        status.up = up;
        status.reason = reason;
        drop(dependencies);
        if news && up {
            metrics::counter!(CONNECTS, "dependency" => self.name).increment(1);
        }
        metrics::gauge!(UP, "dependency" => self.name).set(if up { 1.0 } else { 0.0 });
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_dependency_decides_and_an_optional_one_does_not() {
        let health = Health::default();
        let database = health.dependency("postgresql", Need::Required);
        let neighbour = health.dependency("customer-service", Need::Optional);
        assert!(!health.is_ready());
        database.up();
        assert!(health.is_ready());
        neighbour.down("connection refused");
        assert!(health.is_ready());
        database.down("connection refused");
        assert!(!health.is_ready());
        assert_eq!(health.statuses()["postgresql"].reason.as_deref(), Some("connection refused"));
    }
}
