from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class GetTokenRequest(_message.Message):
    __slots__ = ("destination", "headers", "as_application")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    AS_APPLICATION_FIELD_NUMBER: _ClassVar[int]
    destination: str
    headers: _containers.ScalarMap[str, str]
    as_application: bool
    def __init__(self, destination: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., as_application: _Optional[bool] = ...) -> None: ...

class GetTokenResponse(_message.Message):
    __slots__ = ("header", "value", "token", "expires_at", "acts_as", "correlation_id")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    ACTS_AS_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    header: str
    value: str
    token: str
    expires_at: int
    acts_as: str
    correlation_id: str
    def __init__(self, header: _Optional[str] = ..., value: _Optional[str] = ..., token: _Optional[str] = ..., expires_at: _Optional[int] = ..., acts_as: _Optional[str] = ..., correlation_id: _Optional[str] = ...) -> None: ...

class ValidateRequest(_message.Message):
    __slots__ = ("authorization",)
    AUTHORIZATION_FIELD_NUMBER: _ClassVar[int]
    authorization: str
    def __init__(self, authorization: _Optional[str] = ...) -> None: ...

class ValidateResponse(_message.Message):
    __slots__ = ("kind", "subject", "tenant", "client", "issuer", "scopes", "roles", "expires_at", "claims", "correlation_id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    kind: str
    subject: str
    tenant: str
    client: str
    issuer: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    roles: _containers.RepeatedScalarFieldContainer[str]
    expires_at: int
    claims: str
    correlation_id: str
    def __init__(self, kind: _Optional[str] = ..., subject: _Optional[str] = ..., tenant: _Optional[str] = ..., client: _Optional[str] = ..., issuer: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., roles: _Optional[_Iterable[str]] = ..., expires_at: _Optional[int] = ..., claims: _Optional[str] = ..., correlation_id: _Optional[str] = ...) -> None: ...
