//! Finds the end of an Event Socket message and the offsets of its headers.
//!
//! Owns the wire grammar and its bounds. Leaves out the meaning of headers (`frame`, `event`) and the source of the bytes:
//! the codec drives [`FrameParser`]; the fuzzer and the tests drive it without a socket. The parser finds the boundary
//! first, under a limit, and only then indexes the headers; it copies and decodes nothing.
//!
//! ```text
//! message     = header-block [ body ]          ; body iff the block has Content-Length
//! header-block= 1*header line-end
//! header      = name ":" [ " " ] value line-end
//! name        = 1*( any octet but LF and ": " ); never encoded
//! value       = *( any octet but LF )            ; percent-encoded inside an event
//! line-end    = LF / CR LF
//! body        = Content-Length octets
//!
//! plain event = header-block [ inner-body ]      ; inner-body iff the block has Content-Length
//! ```
//!
//! `lines` finds the lines of an event some thirty at a time, and `memchr` finds unusual ones one by one: a `take_while` of
//! one octet at a time halves the speed.

use std::num::NonZeroUsize;

use memchr::memchr;
use nom::{Err as Stop, IResult, Needed};
use pulp::{Arch, Simd, WithSimd};
use smallvec::SmallVec;

mod error;
mod header_span;

use super::content_type::ContentType;
use super::lines::{AHEAD, LINES, Marks};
pub use error::{ParseError, Unfinished};
use header_span::tag_of;
pub(crate) use header_span::{HeaderSpan, Shape, tag};

/// Bounds on the memory that a peer can occupy. All sizes in bytes.
///
/// The server's own limits (a body of 16 MiB, no bound on headers) are wider than any real event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Headers in one block, outer or inner.
    pub headers: usize,
    /// Bytes of one header block, outer or inner, its blank line not counted.
    pub header_bytes: usize,
    /// Body of any message.
    pub body_bytes: usize,
    /// Body of a `BACKGROUND_JOB` event while a job of ours is pending: a snapshot of 10,000
    /// members is 5–7 MB, and more when JSON wraps JSON.
    pub job_body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            headers: 1_024,
            header_bytes: 256 * 1024,
            body_bytes: 4 * 1024 * 1024,
            job_body_bytes: 32 * 1024 * 1024,
        }
    }
}

pub(super) type Step<'a, T> = IResult<&'a [u8], T, ParseError>;

// ---- leaves ----

/// Parses one header and consumes its line end: the name, the offset of the value, and the value.
fn header(input: &[u8]) -> Step<'_, (&[u8], usize, &[u8])> {
    let Some(end) = memchr(b'\n', input) else {
        return Err(Stop::Incomplete(Needed::Unknown));
    };
    let text = &input[..end];
    // A name can contain colons (a conference variable can have any name), so the separator is the first `: `, or a
    // colon that ends the line.
    let separator = memchr::memchr_iter(b':', text).find_map(|colon| match input[colon + 1] {
        b' ' => Some((colon, colon + 2)),
        b'\n' | b'\r' => Some((colon, colon + 1)),
        _ => None,
    });
    match separator {
        Some((colon, value_at)) if !text.starts_with(b":") => {
            let value = &text[value_at..];
            let value = value.strip_suffix(b"\r").unwrap_or(value);
            Ok((&input[end + 1..], (&text[..colon], value_at, value)))
        }
        Some(_) | None => Err(Stop::Failure(ParseError::HeaderLine { at: 0 })),
    }
}

/// Returns the length of the line end that `input` starts with; 0 if there is none.
#[inline]
fn line_end(input: &[u8]) -> usize {
    match input {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    }
}

// ---- header blocks ----

/// The end of a header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BlankLine {
    /// Bytes of headers, the last line end included.
    headers: usize,
    /// The offset of the byte behind the blank line.
    next: usize,
}

/// Finds the blank line, from the line end at or after `from`.
fn blank_line(input: &[u8], from: usize) -> Option<BlankLine> {
    if from == 0 {
        let n = line_end(input);
        if n > 0 {
            return Some(BlankLine {
                headers: 0,
                next: n,
            });
        }
    }
    memchr::memchr_iter(b'\n', input.get(from..)?).find_map(|found| {
        let headers = from + found + 1;
        let n = line_end(&input[headers..]);
        (n > 0).then_some(BlankLine {
            headers,
            next: headers + n,
        })
    })
}

/// Indexes a header block in `message` from `start`. Returns the end of the blank line.
///
/// A block that ends with the text instead of a blank line is accepted: the boundary of the message is known by then.
pub(crate) fn header_block(
    message: &[u8],
    start: usize,
    limits: &Limits,
    out: &mut impl Extend<HeaderSpan>,
) -> Result<usize, ParseError> {
    let within = message.len().min(start.saturating_add(limits.header_bytes));
    // The same code, compiled for processors with AVX2, too.
    let arch = Arch::new();
    let mut marks = Marks::new();
    let mut spans = [HeaderSpan::NONE; LINES];
    let mut at = start;
    let mut count = 0;
    loop {
        let rest = &message[at..];
        let end = line_end(rest);
        if end > 0 || rest.is_empty() {
            return Ok(at + end);
        }

        let ahead = message.get(at..within.min(at + AHEAD)).unwrap_or_default();
        let (taken, len) = arch.dispatch(CommonLines {
            text: ahead,
            base: at,
            marks: &mut marks,
            spans: &mut spans,
        });
        if taken > limits.headers - count {
            return Err(ParseError::HeaderCount {
                limit: limits.headers,
            });
        }
        if taken > 0 {
            out.extend(spans[..taken].iter().copied());
            count += taken;
            at += len;
            continue;
        }

        // A line in another form, or longer than the searched text.
        if count == limits.headers {
            return Err(ParseError::HeaderCount {
                limit: limits.headers,
            });
        }
        let (next, (name, value_at, value)) = header(rest).map_err(|e| placed(&e, at))?;
        if message.len() - next.len() - start > limits.header_bytes {
            return Err(ParseError::HeaderBytes {
                limit: limits.header_bytes,
            });
        }
        let span = HeaderSpan::new(at, name, at + value_at, value, Shape::Line)
            .ok_or(ParseError::HeaderLine { at })?;
        out.extend([span]);
        count += 1;
        at = message.len() - next.len();
    }
}

/// Parses the headers at the start of `text`, whose offset in the message is `base`, as long as they have FreeSWITCH's
/// usual form: `Name: value`, no colon in the name. Returns their number, and their length in bytes.
///
/// The next line may still be a header.
struct CommonLines<'a> {
    text: &'a [u8],
    base: usize,
    marks: &'a mut Marks,
    spans: &'a mut [HeaderSpan; LINES],
}

impl WithSimd for CommonLines<'_> {
    type Output = (usize, usize);

    // Without inlining, the function would lack the instructions that it is dispatched for.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> (usize, usize) {
        let Self {
            text,
            base,
            marks,
            spans,
        } = self;
        let Some(base) = u32::try_from(base).ok().filter(|at| *at < u32::MAX / 2) else {
            return (0, 0);
        };
        let (mut taken, mut start) = (0, 0);
        for (span, [colon, end]) in spans.iter_mut().zip(marks.lines_of(text)) {
            let (colon, end) = (u32::from(*colon), u32::from(*end));
            let at = colon as usize;
            if text.get(at..at + 2) != Some(b": ") || colon <= start {
                break;
            }
            let carriage_return = u32::from(text[end as usize - 1] == b'\r');
            let name_len = colon - start;
            *span = HeaderSpan {
                name_at: base + start,
                value_at: base + colon + 2,
                value_len: end - carriage_return - (colon + 2),
                name_len: name_len as u16,
                tag: tag_of(name_len as usize, text[at - 1]),
                shape: Shape::Line,
            };
            start = end + 1;
            taken += 1;
        }
        (taken, start as usize)
    }
}

/// Parses a line with its grammar, in a complete text; the line starts at `at`.
#[cold]
fn placed(stop: &Stop<ParseError>, at: usize) -> ParseError {
    match stop {
        Stop::Incomplete(_) => ParseError::CutShort,
        Stop::Error(_) | Stop::Failure(_) => ParseError::HeaderLine { at },
    }
}

/// Parses a `Content-Length`: decimal digits and nothing else.
pub(crate) fn content_length(value: &[u8]) -> Result<u64, ParseError> {
    let number = |so_far: u64, digit: &u8| {
        let digit = char::from(*digit).to_digit(10)?;
        so_far.checked_mul(10)?.checked_add(digit.into())
    };
    (!value.is_empty())
        .then_some(value)
        .and_then(|digits| digits.iter().try_fold(0, number))
        .ok_or(ParseError::ContentLength)
}

// ---- messages ----

/// The headers of one message and the length of its body.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) headers: SmallVec<[HeaderSpan; 4]>,
    pub(crate) content_type: ContentType,
    pub(crate) body_at: usize,
    pub(crate) body_len: usize,
}

impl Head {
    fn total(&self) -> usize {
        self.body_at + self.body_len
    }
}

/// Parses a header block whose blank line was found, and checks the length of its body.
fn head(input: &[u8], end: BlankLine, limits: &Limits) -> Result<(Head, Option<u64>), ParseError> {
    if end.headers > limits.header_bytes {
        return Err(ParseError::HeaderBytes {
            limit: limits.header_bytes,
        });
    }
    let mut headers = SmallVec::new();
    let block = &input[..end.next];
    header_block(block, 0, limits, &mut headers)?;
    let mut content_type = None;
    let mut declared = None;
    for span in &headers {
        let span: &HeaderSpan = span;
        let name = span.name(block);
        if name.eq_ignore_ascii_case(b"Content-Length") {
            declared = Some(content_length(span.value(block))?);
        } else if name.eq_ignore_ascii_case(b"Content-Type") {
            content_type = Some(ContentType::from_wire(span.value(block)));
        }
    }
    let head = Head {
        headers,
        content_type: content_type.ok_or(ParseError::NoContentType)?,
        body_at: end.next,
        body_len: 0,
    };
    Ok((head, declared))
}

/// The start of an event that may use the larger limit, in both formats.
const JOB_STARTS: [&[u8]; 2] = [
    b"Event-Name: BACKGROUND_JOB",
    b"{\"Event-Name\":\"BACKGROUND_JOB\"",
];

#[derive(Debug, Clone)]
enum Progress {
    /// Within the headers; no blank line starts before this offset.
    Headers { scanned: usize },
    /// The headers are complete, and the announced body exceeds the ordinary limit: its first bytes decide whether it
    /// may.
    Judging { head: Head, declared: usize },
    /// The headers are complete, and the body is not.
    Body { head: Head },
}

/// Finds one message after another at the front of a growing buffer.
///
/// It remembers its position, so it does not search bytes twice that arrive one by one. The caller removes each message
/// from the buffer and continues behind it.
#[derive(Debug, Clone)]
pub struct FrameParser {
    limits: Limits,
    job_pending: bool,
    progress: Progress,
}

impl FrameParser {
    /// Creates a parser at the beginning of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            job_pending: false,
            progress: Progress::Headers { scanned: 0 },
        }
    }

    /// Sets whether a job of this connection is pending, which allows the larger body of a `BACKGROUND_JOB`. Any
    /// pending job does: its id is inside the body.
    pub fn set_job_pending(&mut self, pending: bool) {
        self.job_pending = pending;
    }

    /// Returns the limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Parses a message at the front of `input`.
    ///
    /// # Errors
    ///
    /// `Incomplete` until the message is complete; `Failure` if it breaks the grammar or a limit, and then the stream
    /// is of no further use.
    pub(crate) fn parse(&mut self, input: &[u8]) -> Result<Head, Unfinished> {
        loop {
            match &mut self.progress {
                Progress::Headers { scanned } => {
                    let Some(end) = blank_line(input, *scanned) else {
                        if input.len() > self.limits.header_bytes + 2 {
                            return Err(Unfinished::Failure(ParseError::HeaderBytes {
                                limit: self.limits.header_bytes,
                            }));
                        }
                        // The line end before a blank line can be the last byte, or half of a CR LF can follow it.
                        *scanned = input.len().saturating_sub(2);
                        return Err(Unfinished::Incomplete(None));
                    };
                    let (head, declared) =
                        head(input, end, &self.limits).map_err(Unfinished::Failure)?;
                    match self.weigh(head, declared)? {
                        // Most messages are complete at the first call.
                        Progress::Body { head } if head.total() <= input.len() => {
                            self.progress = Progress::Headers { scanned: 0 };
                            return Ok(head);
                        }
                        unfinished @ (Progress::Headers { .. }
                        | Progress::Judging { .. }
                        | Progress::Body { .. }) => self.progress = unfinished,
                    }
                }
                Progress::Judging { head, declared } => {
                    let seen = input.get(head.body_at..).unwrap_or_default();
                    let wanted = JOB_STARTS[1].len();
                    if seen.len() < wanted {
                        return Err(Unfinished::Incomplete(NonZeroUsize::new(
                            wanted - seen.len(),
                        )));
                    }
                    if !JOB_STARTS.iter().any(|start| seen.starts_with(start)) {
                        return Err(Unfinished::Failure(ParseError::BodyTooLarge {
                            declared: *declared as u64,
                            limit: self.limits.body_bytes,
                        }));
                    }
                    let mut head = head.clone();
                    head.body_len = *declared;
                    self.progress = Progress::Body { head };
                }
                Progress::Body { head } => {
                    if let Some(missing) =
                        NonZeroUsize::new(head.total().saturating_sub(input.len()))
                    {
                        return Err(Unfinished::Incomplete(Some(missing)));
                    }
                    let fresh = Progress::Headers { scanned: 0 };
                    if let Progress::Body { head } = std::mem::replace(&mut self.progress, fresh) {
                        return Ok(head);
                    }
                }
            }
        }
    }

    fn weigh(&self, mut head: Head, declared: Option<u64>) -> Result<Progress, Unfinished> {
        let declared = declared.unwrap_or(0);
        let fits = |limit: usize| usize::try_from(declared).ok().filter(|n| *n <= limit);
        if let Some(len) = fits(self.limits.body_bytes) {
            head.body_len = len;
            return Ok(Progress::Body { head });
        }
        let may_be_job = self.job_pending
            && match head.content_type {
                ContentType::EventPlain | ContentType::EventJson => true,
                ContentType::AuthRequest
                | ContentType::CommandReply
                | ContentType::ApiResponse
                | ContentType::EventXml
                | ContentType::DisconnectNotice
                | ContentType::RudeRejection
                | ContentType::LogData
                | ContentType::Other(_) => false,
            };
        let limit = if may_be_job {
            self.limits.job_body_bytes
        } else {
            self.limits.body_bytes
        };
        match fits(limit) {
            Some(declared) => Ok(Progress::Judging { head, declared }),
            None => Err(Unfinished::Failure(ParseError::BodyTooLarge {
                declared,
                limit,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Read = Result<Vec<(Vec<u8>, Vec<u8>)>, ParseError>;

    fn read(block: &[u8]) -> Read {
        let mut found = Vec::new();
        header_block(block, 0, &Limits::default(), &mut found)?;
        let text = |span: &HeaderSpan| (span.name(block).to_vec(), span.value(block).to_vec());
        Ok(found.iter().map(text).collect())
    }

    /// Parses with the grammar again, line by line and byte by byte.
    fn read_slowly(block: &[u8]) -> Read {
        let mut found = Vec::new();
        let mut at = 0;
        for line in block.split_inclusive(|b| *b == b'\n') {
            if line == b"\n" || line == b"\r\n" {
                break;
            }
            let Some(text) = line.strip_suffix(b"\n") else {
                return Err(ParseError::CutShort);
            };
            let name_end = (0..text.len())
                .find(|i| text[*i] == b':' && matches!(line[i + 1], b' ' | b'\r' | b'\n'));
            let Some(name_end) = name_end.filter(|_| text[0] != b':') else {
                return Err(ParseError::HeaderLine { at });
            };
            let value = &text[name_end + 1..];
            let value = value.strip_prefix(b" ").unwrap_or(value);
            let value = value.strip_suffix(b"\r").unwrap_or(value);
            found.push((text[..name_end].to_vec(), value.to_vec()));
            at += line.len();
        }
        Ok(found)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]
        #[test]
        fn window_search_matches_bytewise_search(
            block in "([a-c:]{1,80}: ?[a-c:% ]{0,90}\r?\n|[a: ]{0,70}\n?){0,6}\n?[a:]{0,70}"
        ) {
            prop_assert_eq!(read(block.as_bytes()), read_slowly(block.as_bytes()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        /// There are more lines than one search covers, and longer ones.
        #[test]
        fn block_search_matches_bytewise_parsing(
            lines in prop::collection::vec(
                "[a-c]{1,9}: [a-c:]{0,9}\n|[a-c]{1,20}: [a-c]{40}\r?\n|[a-c]{1,9}: [a-c]{760,770}\n|[a:]{0,4}\n?",
                0..90,
            )
        ) {
            let block = lines.concat();
            prop_assert_eq!(read(block.as_bytes()), read_slowly(block.as_bytes()));
        }
    }

    #[test]
    fn unfinished_message_reports_missing_bytes_if_known() {
        let mut parser = FrameParser::new(Limits::default());
        let incomplete = |n| Unfinished::Incomplete(NonZeroUsize::new(n));
        let wire = b"Content-Type: api/response\nContent-Length: 4\n\n+OK\n";
        assert_eq!(parser.parse(&wire[..20]).err(), Some(incomplete(0)));
        assert_eq!(
            parser.parse(&wire[..wire.len() - 3]).err(),
            Some(incomplete(3))
        );
        assert_eq!(parser.parse(wire).map(|head| head.total()), Ok(wire.len()));
    }
}
