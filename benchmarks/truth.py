"""What each column of the table holds, in the words of each software; ``-`` where it has no word."""

from typing import NamedTuple


class Truth(NamedTuple):
    """The right answer for a column: ours, DataProfiler's, Presidio's."""

    ours: str
    dataprofiler: str
    presidio: str


TRUTH = {
    "cust_no": Truth("customer_no", "-", "-"),
    "cust_nm": Truth("person_name", "PERSON", "PERSON"),
    "cert_no": Truth("id_card_no", "-", "-"),
    "mobile": Truth("mobile", "PHONE_NUMBER", "PHONE_NUMBER"),
    "email": Truth("email", "EMAIL_ADDRESS", "EMAIL_ADDRESS"),
    "card_no": Truth("bank_card_no", "CREDIT_CARD", "CREDIT_CARD"),
    "uscc": Truth("uscc", "-", "-"),
    "corp_nm": Truth("org_name", "-", "ORGANIZATION"),
    "addr": Truth("address", "ADDRESS", "LOCATION"),
    "open_dt": Truth("date_time", "DATE", "DATE_TIME"),
    "bal": Truth("amount_balance", "QUANTITY", "-"),
    "remark": Truth("free_text_remark", "-", "-"),
}
