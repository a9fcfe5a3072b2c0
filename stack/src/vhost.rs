//! Virtual hosts of a private RabbitMQ.

use serde::{Deserialize, Serialize};

use crate::cleanup_notes::{CleanupNotes, CleanupTarget};
use crate::management::Management;
use crate::secret::unique_name;

/// Where a private RabbitMQ listens, and its administrator.
#[derive(Clone, Serialize, Deserialize)]
pub struct RabbitAccess {
    /// The AMQP port on 127.0.0.1.
    pub amqp_port: u16,
    /// The port of the management API and UI on 127.0.0.1.
    pub management_port: u16,
    /// The administrator's name.
    pub user: String,
    /// The administrator's password.
    pub password: String,
}

impl std::fmt::Debug for RabbitAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RabbitAccess")
            .field("amqp_port", &self.amqp_port)
            .field("management_port", &self.management_port)
            .finish_non_exhaustive()
    }
}

/// A virtual host for one test, in which the administrator has all permissions.
///
/// On the [shared](crate::shared()) server it is deleted, with its connections, soon after this
/// value is dropped; on a temporary server it ends with the server.
#[derive(Debug)]
pub struct Vhost {
    /// Its name, which needs no escaping in URLs.
    pub name: String,
    /// `amqp://…`, with this virtual host in it.
    pub amqp_url: String,
    /// `http://user:password@127.0.0.1:port`: the management API is at `/api/…` below it, this
    /// virtual host's queues are at `/api/queues/{name}`.
    pub management_url: String,
    pub(crate) cleanup_notes: Option<CleanupNotes>,
}

impl RabbitAccess {
    /// `amqp://…` for one of the node's virtual hosts; `%2f` is the default one.
    #[must_use]
    pub fn amqp_url(&self, vhost: &str) -> String {
        let Self { amqp_port, user, password, .. } = self;
        format!("amqp://{user}:{password}@127.0.0.1:{amqp_port}/{vhost}")
    }

    /// `http://user:password@127.0.0.1:port`: the API is at `/api/…` below it.
    #[must_use]
    pub fn management_url(&self) -> String {
        let Self { management_port, user, password, .. } = self;
        format!("http://{user}:{password}@127.0.0.1:{management_port}")
    }

    pub(crate) async fn create_unique(&self, hint: &str) -> anyhow::Result<Vhost> {
        let name = unique_name(hint);
        let management = Management::new(&self.management_url())?;
        management.put(&format!("/api/vhosts/{name}"), &serde_json::json!({})).await?;
        let everything = serde_json::json!({ "configure": ".*", "write": ".*", "read": ".*" });
        management.put(&format!("/api/permissions/{name}/{}", self.user), &everything).await?;
        Ok(Vhost {
            amqp_url: self.amqp_url(&name),
            management_url: self.management_url(),
            name,
            cleanup_notes: None,
        })
    }

    pub(crate) async fn delete(&self, vhost: &str) -> anyhow::Result<()> {
        Management::new(&self.management_url())?.delete(&format!("/api/vhosts/{vhost}")).await
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        if let Some(notes) = &self.cleanup_notes {
            notes.add(&CleanupTarget::Vhost(self.name.clone()));
        }
    }
}
