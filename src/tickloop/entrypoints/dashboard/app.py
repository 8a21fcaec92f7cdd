"""The script that Streamlit runs for each visitor: navigation, and what stands on every page."""

from __future__ import annotations

import streamlit as st

from tickloop.entrypoints.dashboard import pages
from tickloop.entrypoints.dashboard.chart import STATIC, load_library

_STYLE = "<style>[data-testid='stMainBlockContainer'] { padding-top: 4rem; padding-bottom: 2rem; }</style>"


def main() -> None:
    st.set_page_config(page_title="Tickloop", page_icon=str(STATIC / "icon.svg"), layout="wide")
    chosen = st.navigation(
        [
            st.Page(pages.live, title="Live", icon=":material/candlestick_chart:", default=True),
            st.Page(pages.equity, title="Equity", icon=":material/account_balance_wallet:"),
            st.Page(pages.models, title="Models", icon=":material/model_training:"),
            st.Page(pages.health, title="Data health", icon=":material/fact_check:"),
        ],
        position="top",
    )
    st.html(_STYLE)
    chosen.run()
    load_library()


if __name__ == "__main__":
    main()
