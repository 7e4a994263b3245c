//! SIP callers of the soaks on a real FreeSWITCH, by `sipp`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::process;

/// The caller's side of a SIP call. It answers session timer refreshes and stays until the other side ends the call.
const CALLER: &str = r#"<?xml version="1.0" encoding="ISO-8859-1"?>
<scenario name="caller">
  <send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: caller <sip:10[call_number]@[local_ip]:[local_port]>;tag=[pid]c[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:caller@[local_ip]:[local_port]>
Max-Forwards: MAX_FORWARDS
Content-Type: application/sdp
Content-Length: [len]

v=0
o=caller 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200"/>
  <send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: caller <sip:10[call_number]@[local_ip]:[local_port]>;tag=[pid]c[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: MAX_FORWARDS
Content-Length: 0

]]></send>
  <label id="1"/>
  <recv request="INVITE" optional="true" next="2"/>
  <recv request="UPDATE" optional="true" next="3"/>
  <recv request="BYE"/>
  <send next="4"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
  <label id="2"/>
  <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:caller@[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=caller 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
  <recv request="ACK" next="1"/>
  <label id="3"/>
  <send next="1"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:caller@[local_ip]:[local_port]>
Content-Length: 0

]]></send>
  <label id="4"/>
</scenario>
"#;

/// Returns the scenario of a caller that sends this `Max-Forwards`.
pub fn scenario(max_forwards: u32) -> String {
    CALLER.replace("MAX_FORWARDS", &max_forwards.to_string())
}

/// Running callers. They end with the test, whatever its outcome.
#[derive(Default)]
pub struct Callers(Vec<Child>);

impl Callers {
    /// Places `count` calls to this number, ten a second.
    pub fn place(&mut self, target: SocketAddr, scenario: &Path, number: &str, count: usize) {
        let count = count.to_string();
        // sipp also uses the ports after its media port.
        let [signalling, media, ..] = [(); 6].map(|()| process::free_port());
        let mut phone = process::command("sipp");
        phone
            .arg(target.to_string())
            .args(["-sf", scenario.to_str().unwrap(), "-s", number])
            .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin"])
            .args(["-m", &count, "-l", &count, "-r", "10"])
            .args(["-p", &signalling.to_string(), "-mp", &media.to_string()])
            .current_dir(scenario.parent().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.0.push(process::spawn(phone));
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        for phone in &mut self.0 {
            let _ = phone.kill();
            let _ = phone.wait();
        }
    }
}
