//! A second stack, in a folder of its own, beside that of a developer: `.ci/run` has one.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;

/// `cargo xtask down --wipe` in a checkout.
fn wipe(checkout: &Path, stack_dir: &str) -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["down", "--wipe"])
        .env("CARGO_MANIFEST_DIR", checkout.join("xtask"))
        .env("STACK_DIR", stack_dir)
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

#[test]
fn wiping_a_stack_in_a_folder_of_its_own_leaves_the_developers_alone() -> anyhow::Result<()> {
    let checkout = std::env::temp_dir().join(format!("own-folder-{}", std::process::id()));
    let (usual, own) = (checkout.join(".stack"), checkout.join("target/own-stack"));
    let data = ["postgres/data", "rabbitmq/data", "logs"];
    for folder in data.iter().flat_map(|data| [usual.join(data), own.join(data)]) {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("precious"), "")?;
    }
    // By this file a checkout is known.
    std::fs::create_dir_all(checkout.join("stack/src"))?;
    std::fs::write(checkout.join("stack/src/checkout.rs"), "")?;
    let left = |folder: &Path| {
        data.iter().filter(|data| folder.join(data).join("precious").exists()).count()
    };

    wipe(&checkout, "target/own-stack")?;
    assert_eq!((left(&usual), left(&own)), (data.len(), 0));
    // Without the variable it would have been the developer's.
    wipe(&checkout, "")?;
    assert_eq!(left(&usual), 0);
    Ok(std::fs::remove_dir_all(checkout)?)
}
