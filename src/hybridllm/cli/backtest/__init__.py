"""`hybridllm backtest`: a ledger decided again by another policy, or at other prices."""
