//! Codec: a walk over XML events: children by tag, text of a leaf, skipping, limits.

use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::Reader;

use super::{UserDataError, UserDataLimits};

/// Makes `Tag` and the table from names to tags, so that each element name is written once.
macro_rules! tags {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// An element that the schema knows.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum Tag {
            $($name,)*
            /// Any other element.
            Unknown,
        }

        impl Tag {
            fn of(name: &str) -> Self {
                match name {
                    $($text => Self::$name,)*
                    _ => Self::Unknown,
                }
            }

            /// The element's name, for errors.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unknown => "unknown element",
                }
            }
        }
    };
}

tags! {
    AliasIdentityGroupId = "AliasIdentityGroupID",
    ApplicationServer = "ApplicationServer",
    BarringIndication = "BarringIndication",
    ConditionNegated = "ConditionNegated",
    ConditionTypeCnf = "ConditionTypeCNF",
    Content = "Content",
    CoreNetworkServicesAuthorization = "CoreNetworkServicesAuthorization",
    DefaultHandling = "DefaultHandling",
    DisplayName = "DisplayName",
    ExtendedPriority = "ExtendedPriority",
    Extension = "Extension",
    Group = "Group",
    Header = "Header",
    Identity = "Identity",
    IdentityType = "IdentityType",
    Imsi = "IMSI",
    ImsSubscription = "IMSSubscription",
    IncludeRegisterRequest = "IncludeRegisterRequest",
    IncludeRegisterResponse = "IncludeRegisterResponse",
    InitialFilterCriteria = "InitialFilterCriteria",
    Line = "Line",
    ListOfServiceIds = "ListOfServiceIds",
    MaxNumOfAllowedSimultRegistrations = "MaxNumOfAllowedSimultRegistrations",
    Method = "Method",
    Priority = "Priority",
    PriorityLevel = "PriorityLevel",
    PriorityNamespace = "PriorityNamespace",
    PrivateId = "PrivateID",
    ProfilePartIndicator = "ProfilePartIndicator",
    PublicIdentity = "PublicIdentity",
    RegistrationType = "RegistrationType",
    RequestUri = "RequestURI",
    ServerName = "ServerName",
    ServiceId = "ServiceId",
    ServiceInfo = "ServiceInfo",
    ServiceLevelTraceInfo = "ServiceLevelTraceInfo",
    ServicePriorityLevel = "ServicePriorityLevel",
    ServiceProfile = "ServiceProfile",
    SessionCase = "SessionCase",
    SessionDescription = "SessionDescription",
    SharedIfcSetId = "SharedIFCSetID",
    SipHeader = "SIPHeader",
    Spt = "SPT",
    SubscribedMediaProfileId = "SubscribedMediaProfileId",
    TriggerPoint = "TriggerPoint",
    WildcardedImpu = "WildcardedIMPU",
    WildcardedPsi = "WildcardedPSI",
}

/// Position in a document. [`Walk::child`] enters elements; each one entered must be read by
/// [`Walk::text`], [`Walk::skip`], or by asking for children until there are no more.
pub(super) struct Walk<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
    pub(super) limits: &'a UserDataLimits,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str, limits: &'a UserDataLimits) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_end_names = true;
        Self {
            reader,
            depth: 0,
            limits,
        }
    }

    /// Enters the root element.
    pub(super) fn root(&mut self) -> Result<(), UserDataError> {
        match self.child()? {
            Some(Tag::ImsSubscription) => Ok(()),
            Some(_) | None => Err(UserDataError::NoSubscription),
        }
    }

    /// After the root element nothing may follow but comments and white space.
    pub(super) fn end_of_document(&mut self) -> Result<(), UserDataError> {
        match self.child()? {
            None => Ok(()),
            Some(_) => Err(self.not_well_formed()),
        }
    }

    /// Enters the next child of the present element, or leaves the element when there is none.
    pub(super) fn child(&mut self) -> Result<Option<Tag>, UserDataError> {
        loop {
            match self.event()? {
                Event::Start(start) => {
                    let tag = Tag::of(start.local_name().as_ref());
                    return self.enter().map(|()| Some(tag));
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(None);
                }
                Event::Eof if self.depth == 0 => return Ok(None),
                Event::Eof => return Err(self.not_well_formed()),
                _ => {}
            }
        }
    }

    /// Reads the present element as a leaf: its text without white space around it. Elements inside are
    /// skipped.
    pub(super) fn text(&mut self, tag: Tag) -> Result<String, UserDataError> {
        let mut text = String::new();
        loop {
            match self.event()? {
                Event::Text(part) => text.push_str(&part.xml10_content()),
                Event::CData(part) => text.push_str(&part.xml10_content()),
                Event::GeneralRef(reference) => text.push(self.resolve(&reference)?),
                Event::Start(_) => {
                    self.enter()?;
                    self.skip()?;
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(text.trim().to_owned());
                }
                Event::Eof => return Err(self.not_well_formed()),
                _ => {}
            }
            if text.len() > self.limits.text_max {
                return Err(UserDataError::TextTooLong(tag.name()));
            }
        }
    }

    /// Leaves the present element, whatever it holds.
    pub(super) fn skip(&mut self) -> Result<(), UserDataError> {
        let target = self.depth.saturating_sub(1);
        while self.depth > target {
            self.child()?;
        }
        Ok(())
    }

    fn enter(&mut self) -> Result<(), UserDataError> {
        self.depth += 1;
        if self.depth > self.limits.depth_max {
            Err(UserDataError::TooDeep)
        } else {
            Ok(())
        }
    }

    fn event(&mut self) -> Result<Event<'a>, UserDataError> {
        match self.reader.read_event() {
            Ok(Event::DocType(_)) => Err(UserDataError::DocType),
            Ok(event) => Ok(event),
            Err(_) => Err(self.not_well_formed()),
        }
    }

    fn resolve(&self, reference: &BytesRef<'_>) -> Result<char, UserDataError> {
        if let Ok(Some(c)) = reference.resolve_char_ref() {
            return Ok(c);
        }
        match &**reference {
            "amp" => Ok('&'),
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "quot" => Ok('"'),
            "apos" => Ok('\''),
            _ => Err(UserDataError::UnknownEntity(self.reader.buffer_position())),
        }
    }

    fn not_well_formed(&self) -> UserDataError {
        UserDataError::NotWellFormed(self.reader.error_position().max(self.reader.buffer_position()))
    }
}
