"""The stand-in's record layouts: which elements a record has, in the order in which QuickBooks returns them.

Source: Intuit's qbXML 13.0 operations file. Lists hang on a ListID, transactions on a TxnID.
"""

from __future__ import annotations

LISTS = ("Vendor", "Customer")
TRANSACTIONS = (
    "Bill",
    "PurchaseOrder",
    "BillPaymentCheck",
    "BillPaymentCreditCard",
    "ReceivePayment",
    "Invoice",
)
_CURRENCY = "CurrencyRef ExchangeRate"
_FLAGS = "IsToBePrinted IsToBeEmailed"
_PEOPLE = (
    "Salutation FirstName MiddleName LastName JobTitle {0} ShipAddress Phone AltPhone Fax Email Cc Contact AltContact"
    " AdditionalContactRef ContactsRet"
)
_ITEM = "TxnLineID ItemRef InventorySiteRef SerialNumber LotNumber Desc Quantity UnitOfMeasure"

#: Record or group -> its elements after the head (the ID, TimeCreated, TimeModified, EditSequence).
_ORDER = {
    "Vendor": (
        f"Name IsActive ClassRef CompanyName {_PEOPLE.format('VendorAddress VendorAddressBlock')} NameOnCheck"
        " AccountNumber Notes AdditionalNotesRet VendorTypeRef TermsRef CreditLimit VendorTaxIdent"
        " IsVendorEligibleFor1099 Balance BillingRateRef ExternalGUID CurrencyRef DataExtRet"
    ),
    "Customer": (
        "Name FullName IsActive ClassRef ParentRef Sublevel CompanyName"
        f" {_PEOPLE.format('BillAddress BillAddressBlock')} TermsRef Balance TotalBalance AccountNumber CreditCardInfo"
        " JobStatus Notes ExternalGUID CurrencyRef DataExtRet"
    ),
    "Bill": (
        "TxnNumber VendorRef VendorAddress APAccountRef TxnDate DueDate AmountDue"
        f" {_CURRENCY} AmountDueInHomeCurrency RefNumber TermsRef Memo IsTaxIncluded SalesTaxCodeRef IsPaid"
        " ExternalGUID LinkedTxn ExpenseLineRet ItemLineRet ItemGroupLineRet OpenAmount DataExtRet"
    ),
    "PurchaseOrder": (
        "TxnNumber VendorRef ClassRef InventorySiteRef ShipToEntityRef TemplateRef TxnDate RefNumber VendorAddress"
        f" TermsRef DueDate ExpectedDate ShipMethodRef FOB TotalAmount {_CURRENCY} TotalAmountInHomeCurrency"
        f" IsManuallyClosed IsFullyReceived Memo VendorMsg {_FLAGS} Other1 Other2 ExternalGUID LinkedTxn"
        " PurchaseOrderLineRet PurchaseOrderLineGroupRet DataExtRet"
    ),
    "BillPaymentCheck": (
        f"TxnNumber PayeeEntityRef APAccountRef TxnDate BankAccountRef Amount {_CURRENCY} AmountInHomeCurrency"
        " RefNumber Memo Address IsToBePrinted AppliedToTxnRet DataExtRet"
    ),
    "BillPaymentCreditCard": (
        f"TxnNumber PayeeEntityRef APAccountRef TxnDate CreditCardAccountRef Amount {_CURRENCY} AmountInHomeCurrency"
        " RefNumber Memo AppliedToTxnRet DataExtRet"
    ),
    "ReceivePayment": (
        f"TxnNumber CustomerRef ARAccountRef TxnDate RefNumber TotalAmount {_CURRENCY} TotalAmountInHomeCurrency"
        " PaymentMethodRef Memo DepositToAccountRef CreditCardTxnInfo UnusedPayment UnusedCredits ExternalGUID"
        " AppliedToTxnRet DataExtRet"
    ),
    "Invoice": (
        "TxnNumber CustomerRef ClassRef ARAccountRef TemplateRef TxnDate RefNumber BillAddress ShipAddress IsPending"
        " IsFinanceCharge PONumber TermsRef DueDate SalesRepRef ShipDate Subtotal SalesTaxPercentage SalesTaxTotal"
        f" AppliedAmount BalanceRemaining {_CURRENCY} Memo IsPaid {_FLAGS} ExternalGUID LinkedTxn InvoiceLineRet"
        " InvoiceLineGroupRet DataExtRet"
    ),
    "ExpenseLineRet": "TxnLineID AccountRef Amount TaxAmount Memo CustomerRef ClassRef SalesTaxCodeRef BillableStatus",
    "ItemLineRet": f"{_ITEM} Cost Amount CustomerRef ClassRef BillableStatus",
    "ItemGroupLineRet": "TxnLineID ItemGroupRef Desc Quantity TotalAmount ItemLineRet",
    "PurchaseOrderLineRet": (
        "TxnLineID ItemRef ManufacturerPartNumber Desc Quantity UnitOfMeasure Rate ClassRef Amount CustomerRef"
        " ServiceDate ReceivedQuantity UnbilledQuantity IsBilled IsManuallyClosed"
    ),
    "PurchaseOrderLineGroupRet": (
        "TxnLineID ItemGroupRef Desc Quantity IsPrintItemsInGroup TotalAmount PurchaseOrderLineRet"
    ),
    "InvoiceLineRet": "TxnLineID ItemRef Desc Quantity UnitOfMeasure Rate ClassRef Amount ServiceDate SalesTaxCodeRef",
    "AppliedToTxnRet": "TxnID TxnType TxnDate RefNumber BalanceRemaining Amount DiscountAmount DiscountAccountRef",
    "LinkedTxn": "TxnID TxnType TxnDate RefNumber LinkType Amount",
    "CreditCardTxnInfo": "CreditCardTxnInputInfo CreditCardTxnResultInfo",
    "DataExtRet": "OwnerID DataExtName DataExtType DataExtValue",
}
_REFERENCE = ("ListID", "FullName")
_BLOCK = ("Addr1", "Addr2", "Addr3", "Addr4", "Addr5")
_ADDRESS = (*_BLOCK, "City", "State", "PostalCode", "Country", "Note")
ORDER = {name: tuple(text.split()) for name, text in _ORDER.items()}

#: Record -> the elements that its lines stand in, which are returned only on request.
LINES = {
    kind: tuple(name for name in ORDER[kind] if name.endswith(("LineRet", "LineGroupRet")) or name == "AppliedToTxnRet")
    for kind in TRANSACTIONS
}
#: Record -> what a void sets to zero.
AMOUNTS = {
    "Bill": ("AmountDue", "AmountDueInHomeCurrency", "OpenAmount"),
    "PurchaseOrder": ("TotalAmount", "TotalAmountInHomeCurrency"),
    "BillPaymentCheck": ("Amount", "AmountInHomeCurrency"),
    "BillPaymentCreditCard": ("Amount", "AmountInHomeCurrency"),
    "ReceivePayment": ("TotalAmount", "TotalAmountInHomeCurrency", "UnusedPayment", "UnusedCredits"),
    "Invoice": ("Subtotal", "SalesTaxTotal", "AppliedAmount", "BalanceRemaining"),
}
LINE_AMOUNTS = ("Amount", "TotalAmount", "Cost", "Rate", "Quantity")


def order_of(name: str) -> tuple[str, ...] | None:
    """The elements of a record or group in their order; None for a plain value."""
    if name in ORDER:
        return ORDER[name]
    if name.endswith("Ref"):
        return _REFERENCE
    if name.endswith("AddressBlock"):
        return _BLOCK
    return _ADDRESS if name.endswith("Address") else None
