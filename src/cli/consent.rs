//! The question before a destructive command.

use std::io::{self, BufRead, IsTerminal, Write};

use roomkeeper_core::ids::RoomId;

use super::Failure;

/// Asks on the terminal whether to continue, unless `--yes` is given.
///
/// # Errors
/// [`Failure::NeedsYes`] without `--yes` and a terminal, [`Failure::Declined`] for any answer but yes.
pub fn ask(question: &str, yes: bool) -> Result<(), Failure> {
    let stdin = io::stdin();
    let is_terminal = stdin.is_terminal() && io::stderr().is_terminal();
    decide(
        question,
        yes,
        is_terminal,
        &mut stdin.lock(),
        &mut io::stderr(),
    )
}

/// Asks whether to delete a room, with its name and id.
///
/// # Errors
/// As for [`ask`].
pub fn ask_to_delete(given: &str, room: RoomId, yes: bool) -> Result<(), Failure> {
    let room = named(given, room);
    ask(
        &format!("Delete the room {room} and park its members?"),
        yes,
    )
}

/// Asks whether to hang up the members of a room, with its name and id.
///
/// # Errors
/// As for [`ask`].
pub fn ask_to_hang_up(given: &str, room: RoomId, yes: bool) -> Result<(), Failure> {
    let room = named(given, room);
    ask(
        &format!("End the calls of the members of the room {room}?"),
        yes,
    )
}

/// The id of a room, with its name if the user gave that.
fn named(given: &str, room: RoomId) -> String {
    let id = room.to_string();
    if id.starts_with(given) {
        id
    } else {
        format!("{given} ({id})")
    }
}

fn decide(
    question: &str,
    yes: bool,
    is_terminal: bool,
    answers: &mut impl BufRead,
    questions: &mut impl Write,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !is_terminal {
        return Err(Failure::NeedsYes(question.to_owned()));
    }
    write!(questions, "{question} [y/N] ")?;
    questions.flush()?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Declined),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_continues() {
        let decide = |yes, is_terminal, answer: &str| {
            let mut asked = Vec::new();
            let decided = decide(
                "Delete it?",
                yes,
                is_terminal,
                &mut answer.as_bytes(),
                &mut asked,
            );
            let code = decided.map_err(|failure| failure.exit_code());
            (code, String::from_utf8(asked).unwrap())
        };
        let question = "Delete it? [y/N] ".to_owned();
        assert_eq!(decide(true, false, ""), (Ok(()), String::new()));
        assert_eq!(decide(false, false, "y\n"), (Err(2), String::new()));
        assert_eq!(decide(false, true, "y\n"), (Ok(()), question.clone()));
        assert_eq!(decide(false, true, "YES\n"), (Ok(()), question.clone()));
        for answer in ["", "\n", "n\n", "yess\n"] {
            assert_eq!(
                decide(false, true, answer),
                (Err(1), question.clone()),
                "{answer}"
            );
        }
    }
}
