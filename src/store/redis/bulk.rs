//! Many records at once, on a connection of their own.
//!
//! Owns that connection, and what is asked on it. Leaves out what becomes of the fields, and what is done about an entity
//! that could not be read here (`reading`).
//!
//! A controller that starts reads all of a fleet. Commands that Redis answers by themselves take it a third of what a
//! script takes that packs the same hashes, and for that long it does nothing else; but they are millions of small values,
//! and the client that the rest of the store uses needs a hundred times longer for each than it takes to find its end. So
//! the answers are read here, where they lie. Two batches are under way: Redis has the next one while this one is read.

use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use memchr::memmem;
use redis::{ErrorKind, RedisError};
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::encode::extend_encode_borrowed;
use redis_protocol::resp2::types::{BorrowedFrame, RangeFrame};
use smallvec::SmallVec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::connect::{Stream, Target};
use super::link::{Fault, RedisOptions};
use super::{ENDED, VERSION, head_field};
use crate::store::{EntityId, EntityKind, Hashes, Named, call, keys};

/// How many entities are asked for at once: Redis does nothing else meanwhile, and rooms can be big; of a hundred of ten
/// members it takes half a millisecond.
const BATCH: usize = 128;

/// About how long the question about one is, bytes.
const QUESTION: usize = 160;

/// What is read of a call's hash: its version, whether it has ended, and its head. Asking for all would have each name told
/// again with each of a fleet's calls.
static OF_A_CALL: LazyLock<Vec<String>> = LazyLock::new(|| {
    let own = [VERSION, ENDED].map(str::to_owned);
    own.into_iter().chain(call::HEAD.map(head_field)).collect()
});

/// How much room there is for answers at first, bytes: those of a batch of calls, or of rooms of ten.
const ROOM: usize = 256 << 10;

/// A connection that reads.
pub(super) struct Bulk {
    server: Stream,
    answers: BytesMut,
    patience: Duration,
}

/// Names and values of a hash, which come in turn.
fn pairs<'a>(answer: &'a str, hash: &[RangeFrame]) -> Named<'a> {
    let twos = hash.chunks_exact(2);
    twos.map(|two| (text(answer, &two[0]), text(answer, &two[1])))
        .collect()
}

/// What there is of the fields that were asked for by their names.
fn asked<'a>(answer: &'a str, values: &[RangeFrame]) -> Named<'a> {
    let named = OF_A_CALL.iter().zip(values);
    let there = named.filter(|(_, value)| matches!(value, RangeFrame::BulkString(_)));
    there
        .map(|(name, value)| (name.as_str(), text(answer, value)))
        .collect()
}

/// A text of a hash or of a list, which have nothing else.
fn text<'a>(answer: &'a str, frame: &RangeFrame) -> &'a str {
    let RangeFrame::BulkString((from, to)) = frame else {
        return "";
    };
    answer.get(*from..*to).unwrap_or_default()
}

/// The keys of a list's pieces, which begin there.
fn keys_of(list: &str, answer: &str, begins: &[RangeFrame]) -> Vec<String> {
    let keys = begins
        .iter()
        .map(|begin| format!("{list}:{}", text(answer, begin)));
    keys.collect()
}

impl Bulk {
    /// Connects to this server and introduces itself as its settings say.
    ///
    /// # Errors
    /// When it cannot be reached, or does not want us.
    pub(super) async fn open(place: &Target, options: &RedisOptions) -> Result<Self, Fault> {
        let deadline = Instant::now() + options.connect_timeout;
        let server = match timeout_at(deadline, place.open_stream()).await {
            Ok(made) => made.map_err(|error| Fault::Connect(error.into()))?,
            Err(_) => return Err(Fault::Timeout(options.connect_timeout)),
        };
        let mut bulk = Self {
            server,
            answers: BytesMut::with_capacity(ROOM),
            patience: options.timeout,
        };
        let settings = place.login();
        let mut greeting = redis::pipe();
        if let Some(password) = settings.password() {
            let auth = greeting.cmd("AUTH");
            if let Some(user) = settings.username() {
                auth.arg(user);
            }
            auth.arg(password);
        }
        if settings.db() != 0 {
            greeting.cmd("SELECT").arg(settings.db());
        }
        bulk.ask(&greeting.get_packed_pipeline()).await?;
        let deadline = Instant::now() + bulk.patience;
        for _ in 0..greeting.len() {
            let said = bulk.answer(deadline, |answer, frame| {
                let RangeFrame::Error((from, to)) = frame else {
                    return None;
                };
                answer.get(from..to).map(str::to_owned)
            });
            if let Some(error) = said.await? {
                let refused = (ErrorKind::AuthenticationFailed, "refused", error);
                return Err(Fault::Connect(RedisError::from(refused)));
            }
        }
        Ok(bulk)
    }

    /// Reads what is on these lists in pieces (`scripts/rope.lua`), all of it as it is at one moment, because what goes from
    /// one piece to another meanwhile would be in neither. Hands over each text with the list it is on. `false`: the pieces
    /// were others by then, or the server does not have all of them; nothing was handed over.
    ///
    /// # Errors
    /// Like [`Self::read`].
    pub(super) async fn on_lists(
        &mut self,
        lists: &[String],
        mut each: impl FnMut(&str, &str),
    ) -> Result<bool, Fault> {
        let mut pipe = redis::pipe();
        for list in lists {
            pipe.cmd("ZRANGE").arg(list).arg(0).arg(-1);
        }
        self.ask(&pipe.get_packed_pipeline()).await?;
        let deadline = Instant::now() + self.patience;
        let mut pieces = Vec::with_capacity(lists.len());
        for list in lists {
            let begin = self.answer(deadline, |answer, frame| {
                let begins = items(frame).unwrap_or_default();
                keys_of(list, answer, &begins)
            });
            pieces.push(begin.await?);
        }

        let mut pipe = redis::pipe();
        pipe.cmd("MULTI");
        for (list, pieces) in lists.iter().zip(&pieces) {
            for key in pieces.iter().chain([list]) {
                pipe.cmd("ZRANGE").arg(key).arg(0).arg(-1);
            }
        }
        pipe.cmd("EXEC");
        self.ask(&pipe.get_packed_pipeline()).await?;
        let deadline = Instant::now() + self.patience;
        for _ in 1..pipe.len() {
            self.answer(deadline, |_, _| ()).await?;
        }
        self.answer(deadline, |answer, frame| {
            let all = items(frame).and_then(|all| all.into_iter().map(items).collect());
            let all: Vec<Vec<RangeFrame>> = all.unwrap_or_default();
            let mut rest = all.iter();
            let mut found = Vec::with_capacity(lists.len());
            for (list, pieces) in lists.iter().zip(&pieces) {
                let texts: Vec<_> = rest.by_ref().take(pieces.len()).collect();
                let now = rest.next().map(|begins| keys_of(list, answer, begins));
                if now.as_ref() != Some(pieces) {
                    return false;
                }
                found.push((list, texts));
            }
            for (list, texts) in found {
                for at in texts.into_iter().flatten() {
                    each(list, text(answer, at));
                }
            }
            true
        })
        .await
    }

    /// Reads these, and hands over each, in their order, with its hashes as they are at one moment, where they lie in the
    /// answer; `None` stands for one that the server did not hand out.
    ///
    /// # Errors
    /// When it cannot be reached any more, or is too late.
    pub(super) async fn read(
        &mut self,
        entities: &[EntityId],
        mut each: impl FnMut(EntityId, Option<Hashes<'_>>),
    ) -> Result<(), Fault> {
        let mut next = entities.chunks(BATCH);
        if let Some(first) = next.next() {
            self.ask(&questions(first)).await?;
        }
        for batch in entities.chunks(BATCH) {
            if let Some(next) = next.next() {
                self.ask(&questions(next)).await?;
            }
            let deadline = Instant::now() + self.patience;
            for entity in batch {
                // That the questions are queued says nothing: what was not is missing from what they come to.
                for _ in 1..answers_about(*entity) {
                    self.answer(deadline, |_, _| ()).await?;
                }
                self.answer(deadline, |answer, frame| {
                    let hashes = match entity.kind() {
                        EntityKind::Session => items(frame).map(|values| Hashes {
                            head: asked(answer, &values),
                            parts: Named::default(),
                        }),
                        EntityKind::Room => both(frame).map(|(head, parts)| Hashes {
                            head: pairs(answer, &head),
                            parts: pairs(answer, &parts),
                        }),
                    };
                    each(*entity, hashes);
                })
                .await?;
            }
            // Answers that are there already are read without waiting, and whoever takes these in may have a millisecond's
            // work with a batch: between two of them the others on this thread get their turn.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn ask(&mut self, questions: &[u8]) -> Result<(), Fault> {
        let deadline = Instant::now() + self.patience;
        let write = async {
            self.server.write_all(questions).await?;
            // TLS buffers what the socket does not take at once.
            self.server.flush().await
        };
        match timeout_at(deadline, write).await {
            Ok(written) => written.map_err(|error| Fault::Answer(error.into())),
            Err(_) => Err(Fault::Timeout(self.patience)),
        }
    }

    /// The next answer: what `take` makes of it, and of the text that it lies in. What is not text is no answer.
    async fn answer<T>(
        &mut self,
        deadline: Instant,
        take: impl FnOnce(&str, RangeFrame) -> T,
    ) -> Result<T, Fault> {
        loop {
            let found = decode_range(&self.answers).map_err(|error| {
                let unreadable = (ErrorKind::Parse, "the answer", error.to_string());
                Fault::Answer(RedisError::from(unreadable))
            })?;
            if let Some((frame, length)) = found {
                let text = self.answers.get(..length).map(std::str::from_utf8);
                let taken = match text {
                    Some(Ok(text)) => take(text, frame),
                    Some(Err(_)) | None => take("", RangeFrame::Null),
                };
                self.answers.advance(length);
                return Ok(taken);
            }
            // It is gone through from its beginning each time, so a long one is to come in few pieces.
            self.answers.reserve(self.answers.len().max(ROOM));
            let read = timeout_at(deadline, self.server.read_buf(&mut self.answers)).await;
            match read {
                Ok(Ok(0)) => {
                    let closed = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                    return Err(Fault::Answer(closed.into()));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Fault::Answer(error.into())),
                Err(_) => return Err(Fault::Timeout(self.patience)),
            }
        }
    }
}

/// How many answers there are to what is asked about it.
const fn answers_about(entity: EntityId) -> usize {
    match entity.kind() {
        EntityKind::Session => 1,
        EntityKind::Room => 4,
    }
}

fn items(frame: RangeFrame) -> Option<Vec<RangeFrame>> {
    if let RangeFrame::Array(items) = frame {
        Some(items)
    } else {
        None
    }
}

/// The head and the parts of a room.
fn both(frame: RangeFrame) -> Option<(Vec<RangeFrame>, Vec<RangeFrame>)> {
    let [parts, head] = items(frame)?.try_into().ok()?;
    Some((items(head)?, items(parts)?))
}

/// A call is one hash, of which it is known what is in it; a room is two, of one moment. The parts are read first, as
/// [`read_whole`](super::RedisStore::read_whole) does.
fn questions(entities: &[EntityId]) -> BytesMut {
    let mut questions = BytesMut::with_capacity(entities.len() * QUESTION);
    let mut before: Option<AboutCall> = None;
    for entity in entities {
        let head = keys::entity(*entity);
        match entity.kind() {
            EntityKind::Session => {
                let again = before.as_ref();
                if !again.is_some_and(|before| before.again(&head, &mut questions)) {
                    before = Some(AboutCall::first(&head, &mut questions));
                }
            }
            EntityKind::Room => {
                say(&mut questions, &["MULTI"]);
                say(&mut questions, &["HGETALL", &keys::parts(*entity)]);
                say(&mut questions, &["HGETALL", &head]);
                say(&mut questions, &["EXEC"]);
            }
        }
    }
    questions
}

/// The question about a call, as it was asked before. Those about others differ in their keys, which are of one length.
struct AboutCall {
    question: Vec<u8>,
    key: Range<usize>,
}

impl AboutCall {
    fn first(key: &str, questions: &mut BytesMut) -> Self {
        let begin = questions.len();
        let words: SmallVec<[&str; 8]> = ["HMGET", key]
            .into_iter()
            .chain(OF_A_CALL.iter().map(String::as_str))
            .collect();
        say(questions, &words);
        let question = questions[begin..].to_vec();
        let at = memmem::find(&question, key.as_bytes()).unwrap_or_default();
        Self {
            question,
            key: at..at + key.len(),
        }
    }

    /// Asks the same about another. `false`: that takes another question.
    fn again(&self, key: &str, questions: &mut BytesMut) -> bool {
        if key.len() != self.key.len() {
            return false;
        }
        let begin = questions.len();
        questions.extend_from_slice(&self.question);
        questions[begin..][self.key.clone()].copy_from_slice(key.as_bytes());
        true
    }
}

/// Appends a command.
fn say(questions: &mut BytesMut, words: &[&str]) {
    let words: SmallVec<[BorrowedFrame<'_>; 8]> = words
        .iter()
        .map(|word| BorrowedFrame::BulkString(word.as_bytes()))
        .collect();
    let said = extend_encode_borrowed(questions, &BorrowedFrame::Array(&words), false);
    debug_assert!(said.is_ok(), "a buffer grows as it has to");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use redis::RedisConnectionInfo;
    use tokio::net::TcpListener;

    use super::super::address::Address;
    use super::super::connect::{Access, Transport};
    use super::*;
    use crate::ids::{ChannelId, NodeId, RoomId, SessionId};
    use uuid::Uuid;

    /// A server that hears this much and says this, a byte at a time, and then hangs up.
    async fn says(hears: usize, answers: &'static str) -> (Bulk, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let server = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            client.set_nodelay(true).unwrap();
            client.read_exact(&mut vec![0; hears]).await.unwrap();
            for byte in answers.bytes() {
                client.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let access = Access {
            transport: Transport::plain(),
            login: RedisConnectionInfo::default(),
        };
        let bulk = Bulk::open(&access.target(address), &RedisOptions::default()).await;
        (bulk.unwrap(), server)
    }

    fn room() -> EntityId {
        let node: NodeId = "n0001".parse().unwrap();
        EntityId::Room(RoomId::new(node, Uuid::from_u128(1)))
    }

    #[tokio::test]
    async fn an_answer_is_read_whole_however_it_comes() {
        let answers = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*2\r\n$1\r\na\r\n$6\r\n1\r\n2\u{e9}\r\n*2\r\n$2\r\n#v\r\n$1\r\n7\r\n";
        let hears = questions(&[room()]).len();
        let (mut bulk, server) = says(hears, answers).await;
        let mut found = Vec::new();
        let one = [room()];
        let read = bulk.read(&one, |entity, hashes| {
            let hashes = hashes.unwrap();
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            let head: Vec<_> = hashes.head.iter().map(owned).collect();
            let parts: Vec<_> = hashes.parts.iter().map(owned).collect();
            found.push((entity, head, parts));
        });
        read.await.unwrap();
        server.await.unwrap();
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let expected = (room(), pair("#v", "7"), pair("a", "1\r\n2\u{e9}"));
        assert_eq!(found, [expected]);
    }

    #[test]
    fn the_question_about_each_call_is_the_same_but_for_its_key() {
        let node: NodeId = "n0001".parse().unwrap();
        let call = |n| EntityId::Session(SessionId::new(node, ChannelId::new(Uuid::from_u128(n))));
        let alone: Vec<u8> = [call(1), room(), call(2), call(3)]
            .into_iter()
            .flat_map(|entity| questions(&[entity]))
            .collect();
        assert_eq!(questions(&[call(1), room(), call(2), call(3)]), alone);
        let text = String::from_utf8(alone).unwrap();
        assert_eq!(text.matches("HMGET").count(), 3);
        for n in 1..=3 {
            let key = keys::entity(call(n));
            assert_eq!(text.matches(&format!("\r\n{key}\r\n")).count(), 1);
        }
    }

    #[tokio::test]
    async fn a_field_of_a_call_that_is_not_there_is_no_empty_one() {
        let node: NodeId = "n0001".parse().unwrap();
        let call = EntityId::Session(SessionId::new(node, ChannelId::new(Uuid::from_u128(1))));
        let answers = "*5\r\n$1\r\n7\r\n$-1\r\n$0\r\n\r\n$-1\r\n$2\r\np2\r\n\
                       *5\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n-WRONGTYPE no\r\n";
        let three = [call; 3];
        let (mut bulk, server) = says(questions(&three).len(), answers).await;
        let mut found = Vec::new();
        let read = bulk.read(&three, |_, hashes| {
            found.push(hashes.map(|hashes| {
                let owned = |(name, value): (&str, &str)| format!("{name}={value}");
                hashes.head.iter().map(owned).collect::<Vec<_>>().join(" ")
            }));
        });
        read.await.unwrap();
        server.await.unwrap();
        assert_eq!(
            found,
            [
                Some("#v=7 happ= hplace=p2".to_owned()),
                Some(String::new()),
                None
            ]
        );
    }

    #[tokio::test]
    async fn what_the_server_does_not_hand_out_is_named_and_costs_nothing_else() {
        let answers = "+OK\r\n-MOVED 5 h:1\r\n-MOVED 5 h:1\r\n-EXECABORT no\r\n\
                       +OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*0\r\n-WRONGTYPE no\r\n\
                       +OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*0\r\n*0\r\n";
        let three = [room(); 3];
        let hears = questions(&three).len();
        let (mut bulk, server) = says(hears, answers).await;
        let mut found = Vec::new();
        let read = bulk.read(&three, |_, hashes| found.push(hashes.is_some()));
        read.await.unwrap();
        server.await.unwrap();
        assert_eq!(found, [false, false, true]);
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_within_an_answer_has_said_nothing() {
        let hears = questions(&[room()]).len();
        let (mut bulk, server) = says(hears, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*0\r\n*2").await;
        let mut found = 0;
        let read = bulk.read(&[room()], |_, _| found += 1).await;
        server.await.unwrap();
        assert!(matches!(read, Err(Fault::Answer(_))), "{read:?}");
        assert_eq!(found, 0);
    }

    #[tokio::test]
    async fn a_list_whose_pieces_have_changed_is_not_handed_over() {
        // One piece, which begins at nothing; by the time its texts are read there are one more, and the same.
        const FIRST: &str = "*1\r\n$0\r\n\r\n";
        for (then, whole) in [
            (
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*1\r\n$1\r\na\r\n*2\r\n$0\r\n\r\n$1\r\nb\r\n",
                false,
            ),
            (
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*1\r\n$1\r\na\r\n*1\r\n$0\r\n\r\n",
                true,
            ),
            ("+OK\r\n-MOVED 5 h:1\r\n+QUEUED\r\n-EXECABORT no\r\n", false),
        ] {
            let answers: &'static str = Box::leak(format!("{FIRST}{then}").into_boxed_str());
            // It says everything at once, when it has heard the first question.
            let hears = "*4\r\n$6\r\nZRANGE\r\n$4\r\nlist\r\n$1\r\n0\r\n$2\r\n-1\r\n".len();
            let (mut bulk, server) = says(hears, answers).await;
            let mut found = Vec::new();
            let lists = ["list".to_owned()];
            let is_whole = bulk.on_lists(&lists, |list, text| found.push(format!("{list} {text}")));
            assert_eq!(is_whole.await.unwrap(), whole, "{then}");
            server.await.unwrap();
            let expected: &[&str] = if whole { &["list a"] } else { &[] };
            assert_eq!(found, expected);
        }
    }
}
