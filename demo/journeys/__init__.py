"""What is shown, and does it hold? One journey a file; the screen and the tests share them."""
