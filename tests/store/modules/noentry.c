/* A shared library, and no driver. */
int noentry(void);

int noentry(void)
{
    return 0;
}
