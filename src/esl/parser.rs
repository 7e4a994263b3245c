//! Where a message of the Event Socket ends, and where its headers lie.
//!
//! Owns the wire grammar and its bounds. Leaves out what the headers mean (`frame`, `event`) and
//! where the bytes come from: the codec drives [`FrameParser`], the fuzzer and the tests drive it
//! without a socket. The boundary is found first, under a limit, and only then is anything indexed;
//! nothing is copied and nothing is decoded here.
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
//! The lines of an event are found some thirty at a time (`lines`), those that are unlike the others
//! one by one, by `memchr`: a `take_while` of one octet at a time halves the speed.

use std::num::NonZeroUsize;

use memchr::memchr;
use nom::error::ErrorKind;
use nom::{Err as Stop, IResult, Needed};
use pulp::{Arch, Simd, WithSimd};
use smallvec::SmallVec;

use super::frame::ContentType;
use super::lines::{AHEAD, LINES, Marks};

/// How much one peer may make us hold. All sizes in bytes.
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

/// Why bytes cannot be a message. The stream has lost its framing: only a new connection helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A header block did not end within the limit.
    #[error("a header block is longer than {limit} bytes")]
    HeaderBytes {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A header block has too many headers.
    #[error("a header block has more than {limit} headers")]
    HeaderCount {
        /// The limit.
        limit: usize,
    },
    /// A line of a header block is no header.
    #[error("byte {at} of a header block starts a line that is not a header")]
    HeaderLine {
        /// Offset of the line within the message.
        at: usize,
    },
    /// A message says no `Content-Type`; FreeSWITCH always does.
    #[error("a message without Content-Type")]
    NoContentType,
    /// `Content-Length` is not a number.
    #[error("Content-Length is not a number")]
    ContentLength,
    /// A body larger than its limit was announced.
    #[error("a body of {declared} bytes was announced, the limit is {limit}")]
    BodyTooLarge {
        /// What `Content-Length` said, in bytes.
        declared: u64,
        /// The limit that applied, in bytes.
        limit: usize,
    },
    /// A value is of no JSON form that an event can have.
    #[error("byte {at} is not what an event in JSON can have there")]
    Json {
        /// Offset of the offending byte within the message.
        at: usize,
    },
    /// The text ends within an element.
    #[error("the text ends too early")]
    CutShort,
}

impl nom::error::ParseError<&[u8]> for ParseError {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self::CutShort
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// What keeps a parser from answering: the three outcomes of nom, mapped onto ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfinished {
    /// Not all there yet. So many bytes are known to be missing, if that is known.
    Incomplete(Option<NonZeroUsize>),
    /// Never going to be a message.
    Failure(ParseError),
}

impl From<Stop<ParseError>> for Unfinished {
    fn from(stop: Stop<ParseError>) -> Self {
        match stop {
            Stop::Incomplete(Needed::Unknown) => Self::Incomplete(None),
            Stop::Incomplete(Needed::Size(n)) => Self::Incomplete(Some(n)),
            // Nothing here backtracks, so nom's recoverable error is as final as its failure.
            Stop::Error(e) | Stop::Failure(e) => Self::Failure(e),
        }
    }
}

pub(super) type Step<'a, T> = IResult<&'a [u8], T, ParseError>;

/// How the value of a header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As it stands up to the end of the line.
    Line,
    /// The inside of a JSON string, escapes and all.
    JsonString,
    /// A JSON array, brackets included.
    JsonArray,
    /// A number, `true`, `false` or `null`.
    JsonScalar,
}

/// One header, as offsets into the message: 16 bytes, no pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderSpan {
    name_at: u32,
    value_at: u32,
    value_len: u32,
    name_len: u16,
    tag: u8,
    shape: Shape,
}

impl HeaderSpan {
    /// No header.
    const NONE: Self = Self {
        name_at: 0,
        value_at: 0,
        value_len: 0,
        name_len: 0,
        tag: 0,
        shape: Shape::Line,
    };

    /// The header whose name and value stand there. `None` if the name is longer than 65,535 bytes,
    /// or the message than 4 GiB.
    #[inline]
    pub(super) fn new(
        name_at: usize,
        name: &[u8],
        value_at: usize,
        value: &[u8],
        shape: Shape,
    ) -> Option<Self> {
        Some(Self {
            name_at: u32::try_from(name_at).ok()?,
            value_at: u32::try_from(value_at).ok()?,
            value_len: u32::try_from(value.len()).ok()?,
            name_len: u16::try_from(name.len()).ok()?,
            tag: tag(name),
            shape,
        })
    }

    #[inline]
    pub(crate) fn name<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        let at = self.name_at as usize;
        message
            .get(at..at + usize::from(self.name_len))
            .unwrap_or_default()
    }

    #[inline]
    pub(crate) fn value<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        let at = self.value_at as usize;
        message
            .get(at..at + self.value_len as usize)
            .unwrap_or_default()
    }

    #[inline]
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// The [`tag`] of the name.
    #[inline]
    pub(crate) fn tag(&self) -> u8 {
        self.tag
    }
}

/// One byte of a name, to look for before names are compared: of ninety headers it leaves one or two.
///
/// Names that begin alike are the rule (`Caller-…`, `variable_…`), so it is made of how long they are
/// and how they end.
#[inline]
pub(crate) fn tag(name: &[u8]) -> u8 {
    tag_of(name.len(), name.last().copied().unwrap_or_default())
}

#[inline]
fn tag_of(len: usize, last: u8) -> u8 {
    (len as u8)
        .wrapping_mul(37)
        .wrapping_add(last.wrapping_mul(5))
}

// ---- leaves ----

/// One header, its line end consumed: the name, and the value with its place.
fn header(input: &[u8]) -> Step<'_, (&[u8], usize, &[u8])> {
    let Some(end) = memchr(b'\n', input) else {
        return Err(Stop::Incomplete(Needed::Unknown));
    };
    let text = &input[..end];
    // A name can itself hold colons (a conference variable may be called anything), so the
    // separator is the first `: `, or a colon that ends the line.
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

/// Length of the line end that `input` starts with: 0 when it starts with none.
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
    /// Where what follows the blank line begins.
    next: usize,
}

/// Looks for the blank line, from the line end at or after `from`.
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

/// Indexes a header block that lies in `message` from `start`. Returns where the blank line ends.
///
/// A block that ends with the text instead of a blank line is taken as it is: the boundary of the
/// message is known by then.
pub(crate) fn header_block(
    message: &[u8],
    start: usize,
    limits: &Limits,
    out: &mut impl Extend<HeaderSpan>,
) -> Result<usize, ParseError> {
    let within = message.len().min(start.saturating_add(limits.header_bytes));
    // The same code, compiled for the processors that have AVX2, too.
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

        // A line that is written in another way, or is longer than was looked.
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

/// The headers that `text`, which lies at `base` in the message, begins with, while they are written as
/// FreeSWITCH writes them: `Name: value`, no colon in the name. Says how many, and their length in bytes.
///
/// What comes next may be a header all the same.
struct CommonLines<'a> {
    text: &'a [u8],
    base: usize,
    marks: &'a mut Marks,
    spans: &'a mut [HeaderSpan; LINES],
}

impl WithSimd for CommonLines<'_> {
    type Output = (usize, usize);

    // What is not inlined has not the instructions that it is dispatched for.
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

/// What a leaf says of a line that starts at `at`, in a text that is all there.
#[cold]
fn placed(stop: &Stop<ParseError>, at: usize) -> ParseError {
    match stop {
        Stop::Incomplete(_) => ParseError::CutShort,
        Stop::Error(_) | Stop::Failure(_) => ParseError::HeaderLine { at },
    }
}

/// A `Content-Length`: decimal digits and nothing else.
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

/// The headers of one message and how far its body goes.
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

/// Parses one header block and decides on its body, once the blank line has been found.
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

/// How an event starts that may use the larger limit, in both formats.
const JOB_STARTS: [&[u8]; 2] = [
    b"Event-Name: BACKGROUND_JOB",
    b"{\"Event-Name\":\"BACKGROUND_JOB\"",
];

#[derive(Debug, Clone)]
enum Progress {
    /// Within the headers; no blank line starts before this offset.
    Headers { scanned: usize },
    /// The headers are read, and the announced body is over the ordinary limit: its first bytes
    /// decide whether it may be.
    Judging { head: Head, declared: usize },
    /// Nothing to do before so many bytes are there.
    Body { head: Head },
}

/// Finds one message after another at the front of a growing buffer.
///
/// It remembers how far it looked, so bytes that trickle in are not looked at twice. The caller
/// removes a message from the buffer when it was found, and starts with what follows.
#[derive(Debug, Clone)]
pub struct FrameParser {
    limits: Limits,
    job_pending: bool,
    progress: Progress,
}

impl FrameParser {
    /// A parser at the beginning of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            job_pending: false,
            progress: Progress::Headers { scanned: 0 },
        }
    }

    /// Says whether a job of this connection is pending, which allows a `BACKGROUND_JOB` the larger
    /// body. Any pending job does: which one it is stands inside the body itself.
    pub fn set_job_pending(&mut self, pending: bool) {
        self.job_pending = pending;
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Looks for a whole message at the front of `input`.
    ///
    /// # Errors
    ///
    /// `Incomplete` until the message is all there; `Failure` when it breaks the grammar or a
    /// limit, and then the stream is of no further use.
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
                        // The line end before a blank line can be the last byte, or be followed by
                        // half of a CR LF.
                        *scanned = input.len().saturating_sub(2);
                        return Err(Unfinished::Incomplete(None));
                    };
                    let (head, declared) =
                        head(input, end, &self.limits).map_err(Unfinished::Failure)?;
                    match self.weigh(head, declared)? {
                        // Most messages are all there when they are looked at.
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

    /// The grammar again, line by line and byte by byte.
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
        fn a_window_finds_what_a_byte_at_a_time_does(
            block in "([a-c:]{1,80}: ?[a-c:% ]{0,90}\r?\n|[a: ]{0,70}\n?){0,6}\n?[a:]{0,70}"
        ) {
            prop_assert_eq!(read(block.as_bytes()), read_slowly(block.as_bytes()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        /// More of them than are looked for at once, and longer ones.
        #[test]
        fn lines_of_any_length_and_number_are_found(
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
    fn an_unfinished_message_says_what_is_missing_if_it_is_known() {
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
