//! Users of a virtual host with limited permissions.

use serde_json::json;
use stack::{Management, Vhost};

/// A user of a virtual host.
#[derive(Debug)]
pub struct BrokerUser<'a> {
    vhost: &'a Vhost,
    management: Management,
    /// The name, which is also the password.
    pub name: String,
    /// `amqp://…` for this user.
    pub url: String,
}

impl<'a> BrokerUser<'a> {
    /// A user with these permissions, as regular expressions of names. Read permission is granted
    /// for all.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn new(vhost: &'a Vhost, configure: &str, write: &str) -> anyhow::Result<Self> {
        let management = Management::new(&vhost.management_url)?;
        let name = format!("{}-user", vhost.name);
        let user = json!({ "password": name, "tags": "" });
        management.put(&format!("/api/users/{name}"), &user).await?;
        let (_, address) = vhost.amqp_url.split_once('@').unwrap_or_default();
        let url = format!("amqp://{name}:{name}@{address}");
        let user = Self { vhost, management, name, url };
        user.may(configure, write).await?;
        Ok(user)
    }

    /// Replaces the permissions.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn may(&self, configure: &str, write: &str) -> anyhow::Result<()> {
        let permissions = json!({ "configure": configure, "write": write, "read": ".*" });
        let path = format!("/api/permissions/{}/{}", self.vhost.name, self.name);
        self.management.put(&path, &permissions).await
    }

    /// Limits the read permission to these names; configure and write are granted for all.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn may_read(&self, read: &str) -> anyhow::Result<()> {
        let permissions = json!({ "configure": ".*", "write": ".*", "read": read });
        let path = format!("/api/permissions/{}/{}", self.vhost.name, self.name);
        self.management.put(&path, &permissions).await
    }

    /// Limits the routing keys that the user may publish with.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn may_write_topics(&self, exchange: &str, write: &str) -> anyhow::Result<()> {
        let permissions = json!({ "exchange": exchange, "write": write, "read": ".*" });
        let path = format!("/api/topic-permissions/{}/{}", self.vhost.name, self.name);
        self.management.put(&path, &permissions).await
    }

    /// Sets a limit of the user: `max-connections` or `max-channels`; -1 is none.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn limit(&self, limit: &str, value: i64) -> anyhow::Result<()> {
        let path = format!("/api/user-limits/{}/{limit}", self.name);
        self.management.put(&path, &json!({ "value": value })).await
    }

    /// Sets a limit of the virtual host: `max-connections` or `max-queues`; -1 is none.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn limit_vhost(&self, limit: &str, value: i64) -> anyhow::Result<()> {
        let path = format!("/api/vhost-limits/{}/{limit}", self.vhost.name);
        self.management.put(&path, &json!({ "value": value })).await
    }
}
