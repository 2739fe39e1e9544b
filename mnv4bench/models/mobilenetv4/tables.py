"""MobileNetV4's tables (arXiv 2404.10518, Tables 11 to 15, and the code released in TensorFlow's models), as data.

A line is a row, from the image to the classifier's first convolution; "3 ×" before it repeats it.

    conv    3x3  32     /2          kernel, channels, stride
    fused   3x3  48     /2  x4      kernel, channels, stride, expansion
    uib     3 5  80     /2  x4      first and middle depthwise kernel (0: none), channels, stride, expansion
    mqa     4x64 160    /2          heads x channels of a head, channels, stride of keys and values
"""

TABLES = {
    # Table 11; its fused bottlenecks are two convolutions, each with activation, as in the released code.
    "mnv4_conv_small": """
        2 × conv   3x3   32    /2
            conv   1x1   32    /1
            conv   3x3   96    /2
            conv   1x1   64    /1
            uib    5 5   96    /2  x3
        4 × uib    0 3   96    /1  x2
            uib    3 0   96    /1  x4
            uib    3 3   128   /2  x6
            uib    5 5   128   /1  x4
            uib    0 5   128   /1  x4
            uib    0 5   128   /1  x3
        2 × uib    0 3   128   /1  x4
            conv   1x1   960   /1
    """,
    # Table 12.
    "mnv4_conv_medium": """
            conv   3x3   32    /2
            fused  3x3   48    /2  x4
            uib    3 5   80    /2  x4
            uib    3 3   80    /1  x2
            uib    3 5   160   /2  x6
        2 × uib    3 3   160   /1  x4
            uib    3 5   160   /1  x4
            uib    3 3   160   /1  x4
            uib    3 0   160   /1  x4
            uib    0 0   160   /1  x2
            uib    3 0   160   /1  x4
            uib    5 5   256   /2  x6
            uib    5 5   256   /1  x4
        2 × uib    3 5   256   /1  x4
            uib    0 0   256   /1  x4
            uib    3 0   256   /1  x4
            uib    3 5   256   /1  x2
            uib    5 5   256   /1  x4
        2 × uib    0 0   256   /1  x4
            uib    5 0   256   /1  x2
            conv   1x1   960   /1
    """,
    # as released; Table 13 prints other bottlenecks at strides 16 and 32.
    "mnv4_hybrid_medium": """
            conv   3x3   32    /2
            fused  3x3   48    /2  x4
            uib    3 5   80    /2  x4
            uib    3 3   80    /1  x2
            uib    3 5   160   /2  x6
            uib    0 0   160   /1  x2
            uib    3 3   160   /1  x4
            uib    3 5   160   /1  x4
            mqa    4x64  160   /2
            uib    3 3   160   /1  x4
            mqa    4x64  160   /2
            uib    3 0   160   /1  x4
            mqa    4x64  160   /2
            uib    3 3   160   /1  x4
            mqa    4x64  160   /2
            uib    3 0   160   /1  x4
            uib    5 5   256   /2  x6
            uib    5 5   256   /1  x4
        2 × uib    3 5   256   /1  x4
            uib    0 0   256   /1  x2
            uib    3 5   256   /1  x2
            uib    0 0   256   /1  x2
            uib    0 0   256   /1  x4
            mqa    4x64  256   /1
            uib    3 0   256   /1  x4
            mqa    4x64  256   /1
            uib    5 5   256   /1  x4
            mqa    4x64  256   /1
            uib    5 0   256   /1  x4
            mqa    4x64  256   /1
            uib    5 0   256   /1  x4
            conv   1x1   960   /1
    """,
    # Table 14.
    "mnv4_conv_large": """
            conv   3x3   24    /2
            fused  3x3   48    /2  x4
            uib    3 5   96    /2  x4
            uib    3 3   96    /1  x4
            uib    3 5   192   /2  x4
        3 × uib    3 3   192   /1  x4
            uib    3 5   192   /1  x4
        5 × uib    5 3   192   /1  x4
            uib    3 0   192   /1  x4
            uib    5 5   512   /2  x4
        3 × uib    5 5   512   /1  x4
            uib    5 0   512   /1  x4
            uib    5 3   512   /1  x4
        2 × uib    5 0   512   /1  x4
            uib    5 3   512   /1  x4
            uib    5 5   512   /1  x4
        3 × uib    5 0   512   /1  x4
            conv   1x1   960   /1
    """,
    # Table 15.
    "mnv4_hybrid_large": """
            conv   3x3   24    /2
            fused  3x3   48    /2  x4
            uib    3 5   96    /2  x4
            uib    3 3   96    /1  x4
            uib    3 5   192   /2  x4
        3 × uib    3 3   192   /1  x4
            uib    3 5   192   /1  x4
        2 × uib    5 3   192   /1  x4
            mqa    8x48  192   /2
            uib    5 3   192   /1  x4
            mqa    8x48  192   /2
            uib    5 3   192   /1  x4
            mqa    8x48  192   /2
            uib    5 3   192   /1  x4
            mqa    8x48  192   /2
            uib    3 0   192   /1  x4
            uib    5 5   512   /2  x4
        3 × uib    5 5   512   /1  x4
            uib    5 0   512   /1  x4
            uib    5 3   512   /1  x4
        2 × uib    5 0   512   /1  x4
            uib    5 3   512   /1  x4
            uib    5 5   512   /1  x4
            mqa    8x64  512   /1
            uib    5 0   512   /1  x4
            mqa    8x64  512   /1
            uib    5 0   512   /1  x4
            mqa    8x64  512   /1
            uib    5 0   512   /1  x4
            mqa    8x64  512   /1
            uib    5 0   512   /1  x4
            conv   1x1   960   /1
    """,
}
"""Variant → its rows."""
