//! A database whose service logs in as its role, as in a deployment: the owner has migrated it and
//! created the roles.

use anyhow::ensure;
use stack::{Database, Service};
use tokio_postgres::Client;

use crate::pipeline::{PATIENCE, connect};

/// A migrated database, and a session of its owner.
#[derive(Debug)]
pub struct Migrated {
    /// The database.
    pub database: Database,
    /// The owner's session.
    pub owner: Client,
}

impl Migrated {
    /// A database that the `migrate` command of `program` has migrated.
    ///
    /// # Errors
    /// When it fails.
    pub async fn by(program: &str) -> anyhow::Result<Self> {
        let database = stack::shared().await?.database("roles").await?;
        migrate(program, &database.url).await?;
        let owner = connect(&database.url).await?;
        Ok(Self { database, owner })
    }

    /// The privileges granted to `role`, with their columns unless they are for the whole table.
    /// None is granted through a group role.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn grants(&self, role: &str) -> anyhow::Result<Vec<String>> {
        let rows = self.owner.query(GRANTS, &[&role]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

/// Brings the schema at `url` up to date with the `migrate` command of `program`.
///
/// # Errors
/// When it fails.
pub async fn migrate(program: &str, url: &str) -> anyhow::Result<()> {
    let settings = [("DATABASE_URL", url)];
    let service = Service::spawn(stack::binary(program).await?, ["migrate"], settings).await?;
    let status = service.wait_exit(PATIENCE).await?;
    ensure!(status.success(), "{program}: {}", service.last_lines());
    Ok(())
}

const GRANTS: &str = "
WITH role AS (SELECT oid FROM pg_roles WHERE rolname = $1::text)
SELECT 'attribute of the role' FROM pg_roles JOIN role USING (oid)
WHERE rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
UNION ALL
SELECT 'member of ' || roleid::regrole FROM pg_auth_members JOIN role ON member = role.oid
UNION ALL
SELECT 'owner of ' || relname FROM pg_class JOIN role ON relowner = role.oid
UNION ALL
SELECT 'database ' || privilege_type
FROM pg_database, aclexplode(datacl), role
WHERE datname = current_database() AND grantee = role.oid
UNION ALL
SELECT 'schema ' || nspname || ' ' || privilege_type
FROM pg_namespace, aclexplode(nspacl), role WHERE grantee = role.oid
UNION ALL
SELECT relname || ' ' || privilege_type
FROM pg_class, aclexplode(relacl), role WHERE grantee = role.oid
UNION ALL
SELECT relname || ' ' || privilege_type || ' ' || string_agg(attname, ', ' ORDER BY attnum)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid, aclexplode(attacl), role WHERE grantee = role.oid
GROUP BY relname, privilege_type
ORDER BY 1";
