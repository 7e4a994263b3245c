//! The terminal: its width, its colours, and progress bars.

use std::time::Duration;

use clap::ColorChoice;
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The number of columns of standard output; `None` if it is no terminal, so that nothing is cut for a program.
pub fn width() -> Option<usize> {
    let out = Term::stdout();
    if !out.is_term() {
        return None;
    }
    out.size_checked().map(|(_, columns)| usize::from(columns))
}

/// True if standard output may have colours. `auto` requires a terminal and obeys `NO_COLOR`, `CLICOLOR` and `TERM`.
pub fn colours(choice: ColorChoice) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            let out = Term::stdout();
            let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            out.is_term() && out.features().colors_supported() && !unwanted
        }
    }
}

/// A progress indicator without a known end, on standard error; hidden if that is no terminal.
pub fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// A progress bar over `total` bytes, on standard error; hidden if that is no terminal.
pub fn bytes(total: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let form = "{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
