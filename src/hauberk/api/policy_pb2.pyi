from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PolicyStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    Failure: _ClassVar[PolicyStatus]
    Applied: _ClassVar[PolicyStatus]
    Deleted: _ClassVar[PolicyStatus]
    Modified: _ClassVar[PolicyStatus]
    NotExist: _ClassVar[PolicyStatus]
    Invalid: _ClassVar[PolicyStatus]
    NotEnabled: _ClassVar[PolicyStatus]
Failure: PolicyStatus
Applied: PolicyStatus
Deleted: PolicyStatus
Modified: PolicyStatus
NotExist: PolicyStatus
Invalid: PolicyStatus
NotEnabled: PolicyStatus

class policy(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: bytes
    def __init__(self, policy: _Optional[bytes] = ...) -> None: ...

class response(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: PolicyStatus
    def __init__(self, status: _Optional[_Union[PolicyStatus, str]] = ...) -> None: ...
