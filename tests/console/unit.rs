//! Unit tests of the page's parser and reducer with Node's test runner, if Node is installed. The browser tests cover
//! the same behaviour from outside.

use std::fs;
use std::path::Path;

use crate::support::process;

#[test]
fn unit_tests_of_page_pass() {
    if !process::installed("node") {
        println!("node is not installed: only the browser tests run");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    // Node needs a package.json to treat the files as modules.
    fs::write(folder.path().join("package.json"), r#"{"type":"module"}"#).unwrap();
    fs::create_dir(folder.path().join("console")).unwrap();
    for (from, to) in [("src/http/console", "console"), ("tests/console/unit", ".")] {
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
