//! Replays the corpus: what the fuzzer kept as it led somewhere new, and what once broke a promise.

use std::path::Path;

use pipeline_fuzz::TARGETS;

/// One test, as the targets count the memory of the process.
#[test]
fn whatever_was_found_once_breaks_no_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let mut replayed = 0;
        for entry in corpus.join(name).read_dir().expect("each target has a folder") {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            target(&std::fs::read(&path).expect("a file"));
            replayed += 1;
        }
        assert!(replayed > 0, "{name} has nothing to replay");
    }
}
