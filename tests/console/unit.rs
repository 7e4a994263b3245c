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
    copy(
        &root.join("src/http/console"),
        &folder.path().join("console"),
    );
    copy(&root.join("tests/console/unit"), folder.path());
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
    assert!(passed >= Some(30), "{text}");
}

/// Copies a directory with its subdirectories.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
