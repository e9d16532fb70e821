//! Bodies in the shapes of clients in the field, and the examples of the RFCs.

pub(super) const BODIES: &[(&str, &str)] = &[
    (
        "baresip",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\r\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"\r\n    xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\"\r\n    xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\"\r\n    entity=\"sip:bob@example.com\">\r\n  <dm:person id=\"p4159\"><rpid:activities/></dm:person>\r\n  <tuple id=\"t4109\">\r\n    <status>\r\n      <basic>open</basic>\r\n    </status>\r\n    <contact>sip:bob@example.com</contact>\r\n  </tuple>\r\n</presence>\r\n",
    ),
    (
        "baresip, state not known",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\r\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"\r\n    xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\"\r\n    xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\"\r\n    entity=\"sip:bob@example.com\">\r\n  <dm:person id=\"p4159\"><rpid:activities/></dm:person>\r\n  <tuple id=\"t4109\">\r\n    <status>\r\n      <basic>unkown</basic>\r\n    </status>\r\n    <contact>sip:bob@example.com</contact>\r\n  </tuple>\r\n</presence>\r\n",
    ),
    (
        "pjsip, MicroSIP",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<presence entity=\"sip:bob@example.com\" xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\">\n <tuple id=\"pj0a1b2c3d4e5f\">\n  <status>\n   <basic>open</basic>\n  </status>\n  <timestamp>2026-03-01T10:00:00.123Z</timestamp>\n  <note>On the phone</note>\n </tuple>\n <dm:person id=\"pj9f8e7d\">\n  <rpid:activities>\n   <rpid:busy />\n  </rpid:activities>\n  <dm:note>On the phone</dm:note>\n </dm:person>\n</presence>\n",
    ),
    (
        "Linphone",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\" ?>\n<p1:presence xmlns:p1=\"urn:ietf:params:xml:ns:pidf\" xmlns:p2=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:p3=\"urn:ietf:params:xml:ns:pidf:rpid\" xmlns:p4=\"urn:oma:xml:prs:pidf:oma-pres\" entity=\"sip:bob@example.com\">\n  <p1:tuple id=\"qmht-9\">\n    <p1:status><p1:basic>open</p1:basic></p1:status>\n    <p4:service-description><p4:service-id>groupchat</p4:service-id><p4:version>1.0</p4:version></p4:service-description>\n    <p1:contact priority=\"0.8\">sip:bob@example.com;gr=urn:uuid:f81d4fae</p1:contact>\n    <p1:timestamp>2026-03-01T10:00:00Z</p1:timestamp>\n  </p1:tuple>\n  <p2:person id=\"zgpa5b\">\n    <p3:activities><p3:away/></p3:activities>\n    <p2:timestamp>2026-03-01T10:00:00Z</p2:timestamp>\n  </p2:person>\n</p1:presence>\n",
    ),
    (
        "Jitsi",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:bob@example.com\"><dm:person id=\"p9206\"><rpid:activities><rpid:busy/></rpid:activities><rpid:status-icon>http://192.0.2.1/a.png</rpid:status-icon></dm:person><tuple id=\"t6222\"><status><basic>open</basic></status><contact>sip:bob@192.0.2.7:5060;transport=udp</contact><note>Busy (DND)</note></tuple></presence>",
    ),
    (
        "X-Lite, Bria",
        "<?xml version='1.0' encoding='UTF-8'?><pr:presence xmlns:pr='urn:ietf:params:xml:ns:pidf' entity='sip:bob@example.com' xmlns:caps='urn:ietf:params:xml:ns:pidf:caps' xmlns:counterpath='www.counterpath.com/presence/ext' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid'><pr:tuple id='sd04cf079'><pr:status><pr:basic>open</pr:basic></pr:status><caps:servcaps><caps:audio>true</caps:audio></caps:servcaps><counterpath:state counterpath:since='1'>x</counterpath:state><pr:note>Idle</pr:note><rpid:user-input last-input='2006-06-13T21:40:17Z'>idle</rpid:user-input><pr:timestamp>2006-06-13T21:40:17Z</pr:timestamp></pr:tuple><dm:person id='p8652f666'><dm:note>Idle</dm:note></dm:person></pr:presence>",
    ),
    (
        "no time zone, note of PIDF in a person",
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='pres:bob@example.com'><tuple id='1 2'><status><basic>closed</basic></status><timestamp>2026-03-01T10:00:00</timestamp></tuple><dm:person><note>gone</note><rpid:activities><rpid:online/></rpid:activities></dm:person></presence>",
    ),
    (
        "RFC 3863 s4.3.1",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"\n     xmlns:im=\"urn:ietf:params:xml:ns:pidf:im\"\n     xmlns:myex=\"http://id.example.com/presence/\"\n     entity=\"pres:someone@example.com\">\n  <tuple id=\"bs35r9\">\n    <status>\n      <basic>open</basic>\n      <im:im>busy</im:im>\n      <myex:location>home</myex:location>\n    </status>\n    <contact priority=\"0.8\">im:someone@mobilecarrier.net</contact>\n    <note xml:lang=\"en\">Don't Disturb Please!</note>\n    <note xml:lang=\"fr\">Ne derangez pas, s'il vous plait</note>\n    <timestamp>2001-10-27T16:49:29Z</timestamp>\n  </tuple>\n  <tuple id=\"eg92n8\">\n    <status>\n      <basic>open</basic>\n    </status>\n    <contact priority=\"1.0\">mailto:someone@example.com</contact>\n  </tuple>\n  <note>I'll be in Tokyo next week</note>\n</presence>\n",
    ),
    (
        "RFC 3863 s4.3.3",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<impp:presence xmlns:impp=\"urn:ietf:params:xml:ns:pidf\"\n     xmlns:myex=\"http://id.mycompany.com/presence/\"\n     entity=\"pres:someone@example.com\">\n  <impp:tuple id=\"tj25ds\">\n    <impp:status>\n      <impp:basic>open</impp:basic>\n    </impp:status>\n    <myex:complexExtension>\n      <myex:ex1 impp:mustUnderstand=\"1\">val1</myex:ex1>\n      <myex:ex2>val2</myex:ex2>\n    </myex:complexExtension>\n    <impp:contact priority=\"0.725\">tel:+09012345678</impp:contact>\n  </impp:tuple>\n  <myex:mytag>My extended presentity information</myex:mytag>\n</impp:presence>\n",
    ),
    (
        "RFC 4480 s4, shortened",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"\n    xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\"\n    xmlns:lt=\"urn:ietf:params:xml:ns:location-type\"\n    xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\"\n    entity=\"pres:someone@example.com\">\n  <tuple id=\"bs35r9\">\n    <status><basic>open</basic></status>\n    <dm:deviceID>urn:device:0003ba4811e3</dm:deviceID>\n    <rpid:relationship><rpid:self/></rpid:relationship>\n    <rpid:service-class><rpid:electronic/></rpid:service-class>\n    <contact priority=\"0.8\">im:someone@mobile.example.net</contact>\n    <note xml:lang=\"en\">Don't Disturb Please!</note>\n    <timestamp>2005-10-27T16:49:29Z</timestamp>\n  </tuple>\n  <note>I'll be in Tokyo next week</note>\n  <dm:device id=\"pc147\">\n    <rpid:user-input idle-threshold=\"600\"\n       last-input=\"2004-10-21T13:20:00-05:00\">idle</rpid:user-input>\n    <dm:deviceID>urn:device:0003ba4811e3</dm:deviceID>\n    <dm:note>PC</dm:note>\n  </dm:device>\n  <dm:person id=\"p1\">\n    <rpid:activities from=\"2005-05-30T12:00:00+05:00\"\n      until=\"2005-05-30T17:00:00+05:00\">\n      <rpid:note>Far away</rpid:note>\n      <rpid:away/>\n    </rpid:activities>\n    <rpid:class>calendar</rpid:class>\n    <rpid:mood><rpid:angry/><rpid:other>brooding</rpid:other></rpid:mood>\n    <rpid:place-is><rpid:audio><rpid:noisy/></rpid:audio></rpid:place-is>\n    <rpid:place-type><lt:residence/></rpid:place-type>\n    <rpid:privacy><rpid:unknown/></rpid:privacy>\n    <rpid:sphere><rpid:unknown/></rpid:sphere>\n    <rpid:status-icon>http://example.com/play.gif</rpid:status-icon>\n    <rpid:time-offset>-240</rpid:time-offset>\n    <dm:note>Scoring 120</dm:note>\n    <dm:timestamp>2005-05-30T16:09:44+05:00</dm:timestamp>\n  </dm:person>\n</presence>\n",
    ),
];
