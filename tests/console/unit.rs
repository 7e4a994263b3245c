//! The parts of the page that need no browser, by node's own test runner, where there is one: the stream's parser, and what
//! each event makes of what is known. The tests above hold the same from outside.

use std::fs;
use std::path::Path;

use crate::support::process;

#[test]
fn the_reducer_and_the_parser() {
    if !process::installed("node") {
        println!("node is not installed: the tests in the browser are all there is");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    // A folder that says what its files are: the page's own have a browser to say it.
    fs::write(folder.path().join("package.json"), r#"{"type":"module"}"#).unwrap();
    fs::create_dir(folder.path().join("console")).unwrap();
    for (from, to) in [("src/console", "console"), ("tests/console/unit", ".")] {
        for entry in fs::read_dir(root.join(from)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let to = folder.path().join(to).join(entry.file_name());
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let mut command = process::command("node");
    command.args(["--test", "."]).current_dir(folder.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let passed = text.lines().find_map(|line| {
        let line = line
            .strip_prefix("# pass ")
            .or(line.strip_prefix("ℹ pass "));
        line?.parse::<u32>().ok()
    });
    assert!(passed >= Some(15), "{text}");
}
