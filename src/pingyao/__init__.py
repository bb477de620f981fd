"""平遥 Pingyao: data security and intelligent use of a province's financial data."""
