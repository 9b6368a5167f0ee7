"""The stand-in's schema of requests: the order of elements, what may stand where, and how often.

Only the functions of a reader are known; any other, a writing one above all, breaks the schema.
"""

from __future__ import annotations

from typing import Any

from lxml import etree

from sources.sage_intacct.standin_faults import SUPPORT_ID, ControlError, Error

VERBS = {
    "getAPISession": '<xs:sequence><xs:element name="locationid" type="xs:string" minOccurs="0"/></xs:sequence>',
    "query": (
        '<xs:all><xs:element name="object" type="text"/><xs:element name="select" type="select"/>'
        '<xs:element name="filter" type="filter" minOccurs="0"/>'
        '<xs:element name="orderby" type="orderby" minOccurs="0"/>'
        '<xs:element name="options" type="options" minOccurs="0"/>'
        '<xs:element name="pagesize" type="pagesize" minOccurs="0"/>'
        '<xs:element name="offset" type="xs:nonNegativeInteger" minOccurs="0"/></xs:all>'
    ),
    "readByQuery": (
        '<xs:all><xs:element name="object" type="text"/><xs:element name="fields" type="xs:string" minOccurs="0"/>'
        '<xs:element name="query" type="xs:string"/><xs:element name="pagesize" type="pagesize" minOccurs="0"/>'
        '<xs:element name="returnFormat" type="format" minOccurs="0"/>'
        '<xs:element name="docparid" type="xs:string" minOccurs="0"/></xs:all>'
    ),
    "readMore": '<xs:sequence><xs:element name="resultId" type="xs:string"/></xs:sequence>',
    "read": "<xs:all>{keys}</xs:all>",
    "readByName": "<xs:all>{keys}</xs:all>",
    "lookup": (
        '<xs:sequence><xs:element name="object" type="text"/>'
        '<xs:element name="docparid" type="xs:string" minOccurs="0"/></xs:sequence>'
    ),
    "readUserFormatting": '<xs:sequence><xs:element name="key" type="text"/></xs:sequence>',
}
_KEYS = (
    '<xs:element name="object" type="text"/><xs:element name="keys" type="xs:string"/>'
    '<xs:element name="fields" type="xs:string" minOccurs="0"/>'
    '<xs:element name="returnFormat" type="format" minOccurs="0"/>'
)
_COMPARE = (
    "equalto", "notequalto", "lessthan", "lessthanorequalto", "greaterthan", "greaterthanorequalto", "like", "notlike",
)  # fmt: skip
_SOME = ("field", "sum", "count", "avg", "min", "max")


def _values(least: int, most: int) -> str:
    values = f'<xs:element name="value" type="xs:string" minOccurs="{least}" maxOccurs="{most}"/>' if most else ""
    return f'<xs:complexType><xs:sequence><xs:element name="field" type="text"/>{values}</xs:sequence></xs:complexType>'


def _operators() -> str:
    counts = dict.fromkeys(_COMPARE, (1, 1))
    counts |= {"between": (2, 2), "in": (1, 1000), "notin": (1, 1000), "isnull": (0, 0), "isnotnull": (0, 0)}
    plain = "".join(f'<xs:element name="{name}">{_values(*count)}</xs:element>' for name, count in counts.items())
    joined = (
        '<xs:complexType><xs:sequence><xs:group ref="operator" minOccurs="2" maxOccurs="unbounded"/></xs:sequence>'
        "</xs:complexType>"
    )
    return plain + "".join(f'<xs:element name="{name}">{joined}</xs:element>' for name in ("and", "or"))


def _schema() -> etree.XMLSchema:
    verbs = "".join(
        f'<xs:element name="{name}"><xs:complexType>{model.replace("{keys}", _KEYS)}</xs:complexType></xs:element>'
        for name, model in VERBS.items()
    )
    chosen = "".join(f'<xs:element name="{name}" type="text"/>' for name in _SOME)
    return etree.XMLSchema(etree.XML(_TEMPLATE.format(verbs=verbs, chosen=chosen, operators=_operators())))


_TEMPLATE = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
<xs:simpleType name="text"><xs:restriction base="xs:string"><xs:minLength value="1"/></xs:restriction></xs:simpleType>
<xs:simpleType name="yes"><xs:restriction base="xs:string"><xs:enumeration value="true"/><xs:enumeration value="false"/>
</xs:restriction></xs:simpleType>
<xs:simpleType name="format"><xs:restriction base="xs:string"><xs:enumeration value="xml"/></xs:restriction>
</xs:simpleType>
<xs:simpleType name="version"><xs:restriction base="xs:string"><xs:enumeration value="3.0"/></xs:restriction>
</xs:simpleType>
<xs:simpleType name="id"><xs:restriction base="xs:string"><xs:minLength value="1"/><xs:maxLength value="256"/>
</xs:restriction></xs:simpleType>
<xs:simpleType name="pagesize"><xs:restriction base="xs:integer"><xs:minInclusive value="1"/>
<xs:maxInclusive value="2000"/></xs:restriction></xs:simpleType>
<xs:complexType name="select"><xs:choice maxOccurs="unbounded">{chosen}</xs:choice></xs:complexType>
<xs:group name="operator"><xs:choice>{operators}</xs:choice></xs:group>
<xs:complexType name="filter"><xs:sequence><xs:group ref="operator"/></xs:sequence></xs:complexType>
<xs:complexType name="orderby"><xs:sequence><xs:element name="order" maxOccurs="unbounded"><xs:complexType><xs:sequence>
<xs:element name="field" type="text"/><xs:choice minOccurs="0"><xs:element name="ascending"/>
<xs:element name="descending"/></xs:choice></xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType>
<xs:complexType name="options"><xs:all><xs:element name="caseinsensitive" type="xs:string" minOccurs="0"/>
<xs:element name="showprivate" type="yes" minOccurs="0"/><xs:element name="returnformat" type="format" minOccurs="0"/>
</xs:all></xs:complexType>
<xs:element name="request"><xs:complexType><xs:sequence>
<xs:element name="control"><xs:complexType><xs:sequence>
<xs:element name="senderid" type="xs:string"/><xs:element name="password" type="xs:string"/>
<xs:element name="controlid" type="id"/><xs:element name="uniqueid" type="yes" minOccurs="0"/>
<xs:element name="dtdversion" type="version"/><xs:element name="policyid" type="xs:string" minOccurs="0"/>
<xs:element name="includewhitespace" type="yes" minOccurs="0"/>
<xs:element name="showadditionalerrorinfo" type="yes" minOccurs="0"/>
</xs:sequence></xs:complexType></xs:element>
<xs:element name="operation"><xs:complexType><xs:sequence>
<xs:element name="authentication"><xs:complexType><xs:choice>
<xs:element name="login"><xs:complexType><xs:sequence>
<xs:element name="userid" type="xs:string"/><xs:element name="companyid" type="xs:string"/>
<xs:element name="password" type="xs:string"/><xs:element name="clientid" type="xs:string" minOccurs="0"/>
<xs:element name="locationid" type="xs:string" minOccurs="0"/>
</xs:sequence></xs:complexType></xs:element>
<xs:element name="sessionid" type="xs:string"/>
</xs:choice></xs:complexType></xs:element>
<xs:element name="content"><xs:complexType><xs:sequence>
<xs:element name="function" maxOccurs="unbounded"><xs:complexType><xs:choice>{verbs}</xs:choice>
<xs:attribute name="controlid" type="id" use="required"/></xs:complexType></xs:element>
</xs:sequence></xs:complexType>
<xs:unique name="controlid"><xs:selector xpath="function"/><xs:field xpath="@controlid"/></xs:unique></xs:element>
</xs:sequence><xs:attribute name="transaction" type="yes"/></xs:complexType></xs:element>
</xs:sequence></xs:complexType></xs:element>
</xs:schema>"""
_SCHEMA = _schema()


def parse(body: bytes) -> etree._Element:
    """The request. Raises `ControlError` XL03000003, with one error for each thing that is wrong.

    To be called by one thread at a time: the schema keeps the errors of its last validation.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        log: Any = error.error_log
        line, column = error.position
        said = str(error.msg).partition(", line")[0]
        raise ControlError(_broken(f"Fatal Error {log[0].type if log else 4}: {said}", line, column)) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise ControlError(_broken("A document type is not allowed", 1, 1))
    if not _SCHEMA.validate(root):
        log = _SCHEMA.error_log
        raise ControlError(*(_broken(entry.message.rstrip("."), entry.line, entry.column) for entry in log))
    return root


def _broken(what: str, line: int, column: int) -> Error:
    text = f"XML Parse schema error: {what}. Line: {line}, column: {column}. [Support ID: {SUPPORT_ID}]"
    return Error("XL03000003", text)
